#include "core/training/gradient_threads.h"

#include <ATen/ATen.h>
#include <c10/core/GradMode.h>

#include <algorithm>
#include <atomic>
#include <exception>
#include <mutex>
#include <thread>

namespace ditscope {

GradientThreads::GradientThreads(std::vector<std::vector<at::Tensor>> replicas) : replicas_(std::move(replicas)) {}

double GradientThreads::run(int pieces, const Piece& piece) {
  std::atomic<int> next = 0;
  std::mutex mutex;
  double loss = 0;
  std::exception_ptr failure;
  const auto work = [&](int replica) {
    try {
      for (int i = next++; i < pieces; i = next++) {
        const double part = piece(replica, i);
        const std::lock_guard lock(mutex);
        loss += part;
      }
    } catch (...) {
      const std::lock_guard lock(mutex);
      if (!failure) failure = std::current_exception();
      next = pieces;
    }
  };
  std::vector<std::thread> threads;
  for (int replica = 1; replica < std::min(replicas(), pieces); ++replica) threads.emplace_back(work, replica);
  work(0);
  for (auto& thread : threads) thread.join();
  if (failure) std::rethrow_exception(failure);

  const c10::NoGradGuard no_grad;
  for (std::size_t i = 0; i < replicas_[0].size(); ++i) {
    at::Tensor& sum = replicas_[0][i].mutable_grad();
    for (std::size_t replica = 1; replica < replicas_.size(); ++replica) {
      at::Tensor& part = replicas_[replica][i].mutable_grad();
      if (!part.defined()) continue;
      if (sum.defined()) sum.add_(part);
      else sum = part;
      part.reset();
    }
    if (sum.defined() && pieces > 1) sum.div_(pieces);
  }
  return loss / pieces;
}

int replica_count(int threads, at::Device device) {
  if (!device.is_cpu()) return 1;
  return threads > 0 ? threads : std::max(1, static_cast<int>(std::thread::hardware_concurrency()));
}

}  // namespace ditscope
