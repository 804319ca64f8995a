#include "core/training/clip_factory.h"

#include <algorithm>

namespace ditscope {

ClipFactory::ClipFactory(Make make, int threads, std::size_t capacity, std::uint64_t seed)
    : make_(std::move(make)), capacity_(capacity) {
  for (int i = 0; i < std::max(threads, 1); ++i) threads_.emplace_back(&ClipFactory::work, this, seed * 1000003 + i);
}

ClipFactory::~ClipFactory() {
  {
    std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  changed_.notify_all();
  for (auto& thread : threads_) thread.join();
}

void ClipFactory::work(std::uint64_t seed) {
  world::SceneRandom random(seed);
  while (true) {
    {
      std::unique_lock lock(mutex_);
      changed_.wait(lock, [this] { return stopping_ || ready_.size() < capacity_; });
      if (stopping_) return;
    }
    RenderedClip clip = make_(random);
    {
      std::lock_guard lock(mutex_);
      ready_.push_back(std::move(clip));
    }
    changed_.notify_all();
  }
}

RenderedClip ClipFactory::next() {
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [this] { return !ready_.empty(); });
  RenderedClip clip = std::move(ready_.front());
  ready_.pop_front();
  lock.unlock();
  changed_.notify_all();
  return clip;
}

std::optional<RenderedClip> ClipFactory::try_next() {
  std::unique_lock lock(mutex_);
  if (ready_.empty()) return std::nullopt;
  RenderedClip clip = std::move(ready_.front());
  ready_.pop_front();
  lock.unlock();
  changed_.notify_all();
  return clip;
}

}  // namespace ditscope
