#include "core/training/latent_pool.h"

#include <ATen/ATen.h>
#include <c10/core/GradMode.h>

#include <algorithm>

#include "core/training/training_run.h"
#include "core/training/video_tensor.h"
#include "core/training/world/renderer.h"

namespace ditscope {

LatentPool::LatentPool(const CogVideoXVae& vae, at::Device device, int frames, int size, int render_threads, std::uint64_t seed,
                       std::size_t capacity, bool bfloat16)
    : vae_(vae), device_(device), bfloat16_(bfloat16), capacity_(capacity),
      factory_(
          [frames, size](world::SceneRandom& random) {
            RenderedClip clip;
            clip.scene = world::sample_scene(random);
            clip.frames = frames;
            clip.size = size;
            clip.rgb.resize(static_cast<std::size_t>(frames) * size * size * 3);
            // An image is the first frame of its clip, so that it shows what the caption's motion starts from.
            if (frames == 1) world::render_frame(clip.scene, 0.0F, size, size, clip.rgb.data());
            else world::render(clip.scene, size, size, frames, clip.rgb.data());
            return clip;
          },
          render_threads, device.is_cuda() ? 64 : 8, seed) {}

void LatentPool::add(int count) {
  c10::NoGradGuard no_grad;
  std::vector<at::Tensor> videos;
  std::vector<world::Scene> scenes;
  for (int i = 0; i < count; ++i) {
    const RenderedClip clip = factory_.next();
    videos.push_back(video_bytes(clip).clone());
    scenes.push_back(clip.scene);
  }
  at::Tensor mean;
  {
    Bfloat16Scope bfloat16(bfloat16_, device_.is_cuda());
    mean = vae_.encode_moments(video_values(at::stack(videos).to(device_))).chunk(2, 1)[0];  // (B,C,F,Y,X)
  }
  const auto latents = (mean.to(at::kFloat) * vae_.config().scaling_factor).transpose(1, 2).to(at::kCPU, at::kHalf);  // (B,F,C,Y,X)
  for (int i = 0; i < count; ++i) {
    if (latents_.size() < capacity_) {
      latents_.push_back(latents[i].contiguous());
      scenes_.push_back(scenes[i]);
    } else {
      latents_[next_] = latents[i].contiguous();
      scenes_[next_] = scenes[i];
      next_ = (next_ + 1) % capacity_;
    }
  }
}

LatentPool::Batch LatentPool::draw(int batch, int fresh, world::SceneRandom& random) {
  if (latents_.size() < static_cast<std::size_t>(batch)) fresh = batch;
  if (fresh > 0) add(fresh);
  Batch result;
  std::vector<at::Tensor> latents;
  for (int i = 0; i < batch; ++i) {
    const int index = random.below(static_cast<int>(latents_.size()));
    latents.push_back(latents_[index]);
    result.scenes.push_back(scenes_[index]);
  }
  result.latents = at::stack(latents).to(device_, at::kFloat);
  return result;
}

}  // namespace ditscope
