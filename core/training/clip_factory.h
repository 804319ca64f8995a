#pragma once
#include <condition_variable>
#include <cstdint>
#include <deque>
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

/// Renders clips ahead on threads of its own, so that training never waits while there is a core to spare.
class ClipFactory {
 public:
  using Make = std::function<RenderedClip(world::SceneRandom&)>;
  ClipFactory(Make make, int threads, std::size_t capacity, std::uint64_t seed);
  ~ClipFactory();
  ClipFactory(const ClipFactory&) = delete;
  ClipFactory& operator=(const ClipFactory&) = delete;

  RenderedClip next();                    ///< waits for one
  std::optional<RenderedClip> try_next(); ///< one that is ready, if any

 private:
  void work(std::uint64_t seed);

  Make make_;
  std::size_t capacity_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<RenderedClip> ready_;
  bool stopping_ = false;
  std::vector<std::thread> threads_;
};

}  // namespace ditscope
