#pragma once
#include <algorithm>
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <exception>
#include <functional>
#include <mutex>
#include <optional>
#include <thread>
#include <vector>

#include "core/training/world/caption.h"

namespace ditscope {

/// Pixel frames of a clip of the bundled model's world.
inline constexpr int kClipFrames = 33;

/// A rendered training clip with the scene that its caption describes.
struct RenderedClip {
  world::Scene scene;
  int frames = 0, size = 0;
  std::vector<std::uint8_t> rgb;  // (F,Y,X,3)
};

/// Makes training examples ahead on threads of its own, so that training never waits while there is a core to spare.
template <typename Example>
class ExampleFactory {
 public:
  using Make = std::function<Example(world::SceneRandom&)>;

  ExampleFactory(Make make, int threads, std::size_t capacity, std::uint64_t seed) : make_(std::move(make)), capacity_(capacity) {
    for (int i = 0; i < std::max(threads, 1); ++i) threads_.emplace_back(&ExampleFactory::work, this, seed * 1000003 + i);
  }
  ~ExampleFactory() {
    {
      const std::lock_guard lock(mutex_);
      stopping_ = true;
    }
    changed_.notify_all();
    for (auto& thread : threads_) thread.join();
  }
  ExampleFactory(const ExampleFactory&) = delete;
  ExampleFactory& operator=(const ExampleFactory&) = delete;

  /// Waits for one. @throws what making it threw
  Example next() {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [this] { return failure_ || !ready_.empty(); });
    return take();
  }
  /// One that is ready, if any. @throws what making one threw
  std::optional<Example> try_next() {
    const std::lock_guard lock(mutex_);
    if (!failure_ && ready_.empty()) return std::nullopt;
    return take();
  }

 private:
  Example take() {
    if (failure_) std::rethrow_exception(failure_);
    Example example = std::move(ready_.front());
    ready_.pop_front();
    changed_.notify_all();
    return example;
  }

  void work(std::uint64_t seed) {
    world::SceneRandom random(seed);
    while (true) {
      {
        std::unique_lock lock(mutex_);
        changed_.wait(lock, [this] { return stopping_ || failure_ || ready_.size() < capacity_; });
        if (stopping_ || failure_) return;
      }
      try {
        Example example = make_(random);
        const std::lock_guard lock(mutex_);
        ready_.push_back(std::move(example));
      } catch (...) {
        const std::lock_guard lock(mutex_);
        failure_ = std::current_exception();
      }
      changed_.notify_all();
    }
  }

  Make make_;
  std::size_t capacity_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<Example> ready_;
  std::exception_ptr failure_;
  bool stopping_ = false;
  std::vector<std::thread> threads_;
};

}  // namespace ditscope
