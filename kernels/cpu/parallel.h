#pragma once
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <new>

#include "kernels/block_sparse_attention.h"

namespace ditscope::cpu {

/// body(i) for i < count, in any order, on the threads of `workers`. What body(i) writes must depend on i alone.
template <typename Body>
void parallel_for(const Workers& workers, std::int64_t count, const Body& body) {
  if (!workers.run || workers.count < 2 || count < 2) {
    for (std::int64_t i = 0; i < count; ++i) body(i);
    return;
  }
  std::atomic<std::int64_t> next{0};
  workers.run([&] {
    for (std::int64_t i = next++; i < count; i = next++) body(i);
  });
}

/// Memory that grows, is aligned to cache lines and is never given back before the end: make it static thread_local, so that
/// calls do not fault in fresh pages.
class Scratch {
 public:
  template <typename T>
  T* reserve(std::size_t count) {
    const std::size_t bytes = (count * sizeof(T) + 127) / 64 * 64;
    if (bytes > bytes_) {
      data_.reset();
      bytes_ = 0;
      data_.reset(std::aligned_alloc(64, bytes));
      if (!data_) throw std::bad_alloc();
      bytes_ = bytes;
    }
    return static_cast<T*>(data_.get());
  }

 private:
  struct Free {
    void operator()(void* p) const { std::free(p); }
  };
  std::unique_ptr<void, Free> data_;
  std::size_t bytes_ = 0;
};

}  // namespace ditscope::cpu
