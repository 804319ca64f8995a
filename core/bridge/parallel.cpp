// Compiled with -fopenmp and linked to the libgomp that LibTorch brings: the same pool of threads serves both.
#include "core/bridge/parallel.h"

#include <omp.h>

#include <exception>
#include <mutex>

namespace ditscope {

Workers torch_workers(int threads) {
  return {omp_in_parallel() ? 1 : threads, [threads](const std::function<void()>& body) {
            std::exception_ptr failure;
            std::mutex mutex;
#pragma omp parallel num_threads(threads)
            {
              try {
                body();
              } catch (...) {
                std::lock_guard lock(mutex);
                failure = std::current_exception();
              }
            }
            if (failure) std::rethrow_exception(failure);
          }};
}

}  // namespace ditscope
