#pragma once
#include <ATen/core/Tensor.h>

#include <memory>
#include <vector>

#include "core/training/clip_factory.h"
#include "core/vae/cogvideox_vae.h"

namespace ditscope {

/// Latents of rendered clips of one length and size. New clips come in as they are drawn; old ones are drawn again.
class LatentPool {
 public:
  struct Batch {
    at::Tensor latents;  // (B,F,C,Y,X), scaled
    std::vector<world::Scene> scenes;
  };

  /// @param latent_scale  multiplies the VAE's mean, so that latents have unit deviation
  LatentPool(const CogVideoXVae& vae, at::Device device, int frames, int size, int render_threads, std::uint64_t seed,
             std::size_t capacity, bool bfloat16);

  /// @param fresh  how many of the clips are rendered and encoded for this batch; the others are drawn from the pool
  Batch draw(int batch, int fresh, world::SceneRandom& random);
  std::size_t size() const { return scenes_.size(); }

 private:
  void add(int count);

  const CogVideoXVae& vae_;
  at::Device device_;
  bool bfloat16_;
  std::size_t capacity_, next_ = 0;
  std::vector<at::Tensor> latents_;  // (F,C,Y,X) float16 each, on the CPU
  std::vector<world::Scene> scenes_;
  ClipFactory factory_;
};

}  // namespace ditscope
