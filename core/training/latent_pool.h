#pragma once
#include <ATen/core/Tensor.h>

#include <memory>
#include <vector>

#include "core/training/example_factory.h"
#include "core/vae/cogvideox_vae.h"

namespace ditscope {

/// Latents of rendered clips of one length and size. New clips are rendered and encoded on threads of their own and come in as
/// they are ready; old ones are drawn again.
class LatentPool {
 public:
  struct Batch {
    at::Tensor latents;  // (B,F,C,Y,X), scaled
    std::vector<world::Scene> scenes;
  };

  LatentPool(const CogVideoXVae& vae, at::Device device, int frames, int size, int render_threads, std::uint64_t seed,
             std::size_t capacity, bool bfloat16);

  /// @param fresh  take in at most so many new clips, as far as they are ready (all of them while the pool is young). Waits only
  ///               while it is smaller than a batch.
  Batch draw(int batch, int fresh, world::SceneRandom& random);
  std::size_t size() const { return clips_.size(); }

 private:
  struct Clip {
    at::Tensor latents;  // (F,C,Y,X) float16, on the CPU
    world::Scene scene;
  };
  using Clips = std::vector<Clip>;  // encoded together

  Clips make(world::SceneRandom& random) const;
  void add(Clips clips);

  const CogVideoXVae& vae_;
  at::Device device_;
  int frames_, size_;
  bool bfloat16_;
  std::size_t capacity_, next_ = 0;
  std::vector<Clip> clips_;
  ExampleFactory<Clips> factory_;  // last: its threads use the members above
};

}  // namespace ditscope
