#include "core/training/latent_pool.h"

#include <ATen/ATen.h>
#include <c10/core/GradMode.h>

#include <algorithm>

#include "core/training/training_run.h"
#include "core/training/video_tensor.h"
#include "core/training/world/renderer.h"

namespace ditscope {

namespace {
constexpr int kImagesTogether = 8;       // encoded in one call
constexpr std::size_t kFewClips = 200;   // below, every clip that is ready comes in: repeating a handful would teach them by heart
}

LatentPool::LatentPool(const CogVideoXVae& vae, at::Device device, int frames, int size, int render_threads, std::uint64_t seed,
                       std::size_t capacity, bool bfloat16)
    : vae_(vae), device_(device), frames_(frames), size_(size), bfloat16_(bfloat16), capacity_(capacity),
      factory_([this](world::SceneRandom& random) { return make(random); }, render_threads, device.is_cuda() ? 64 : 8, seed) {}

LatentPool::Clips LatentPool::make(world::SceneRandom& random) const {
  c10::NoGradGuard no_grad;
  Clips clips(frames_ == 1 ? kImagesTogether : 1);
  std::vector<at::Tensor> videos;
  for (Clip& clip : clips) {
    clip.scene = world::sample_scene(random);
    RenderedClip rendered{clip.scene, frames_, size_, std::vector<std::uint8_t>(static_cast<std::size_t>(frames_) * size_ * size_ * 3)};
    // An image is the first frame of its clip, so that it shows what the caption's motion starts from.
    if (frames_ == 1) world::render_frame(clip.scene, 0.0F, size_, size_, rendered.rgb.data());
    else world::render(clip.scene, size_, size_, frames_, rendered.rgb.data());
    videos.push_back(video_bytes(rendered).clone());
  }
  Bfloat16Scope bfloat16(bfloat16_, device_.is_cuda());
  const auto mean = vae_.encode_moments(video_values(at::stack(videos).to(device_))).chunk(2, 1)[0];  // (B,C,F,Y,X)
  const auto latents = (mean.to(at::kFloat) * vae_.config().scaling_factor).transpose(1, 2).to(at::kCPU, at::kHalf).contiguous();  // (B,F,C,Y,X)
  for (std::size_t i = 0; i < clips.size(); ++i) clips[i].latents = latents[static_cast<std::int64_t>(i)];
  return clips;
}

void LatentPool::add(Clips clips) {
  for (Clip& clip : clips) {
    if (clips_.size() < capacity_) {
      clips_.push_back(std::move(clip));
    } else {
      clips_[next_] = std::move(clip);
      next_ = (next_ + 1) % capacity_;
    }
  }
}

LatentPool::Batch LatentPool::draw(int batch, int fresh, world::SceneRandom& random) {
  while (clips_.size() < static_cast<std::size_t>(batch)) add(factory_.next());
  while (fresh > 0 || clips_.size() < kFewClips) {
    auto clips = factory_.try_next();
    if (!clips) break;
    fresh -= static_cast<int>(clips->size());
    add(std::move(*clips));
  }
  Batch result;
  std::vector<at::Tensor> latents;
  for (int i = 0; i < batch; ++i) {
    const Clip& clip = clips_[static_cast<std::size_t>(random.below(static_cast<int>(clips_.size())))];
    latents.push_back(clip.latents);
    result.scenes.push_back(clip.scene);
  }
  result.latents = at::stack(latents).to(device_, at::kFloat);
  return result;
}

}  // namespace ditscope
