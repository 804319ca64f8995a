#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <c10/core/GradMode.h>

#include <algorithm>
#include <cmath>
#include <deque>
#include <iterator>

#include "core/bridge/accelerator.h"
#include "core/checkpoint/safetensors.h"
#include "core/training/bundled_model.h"
#include "core/training/example_factory.h"
#include "core/training/gradient_threads.h"
#include "core/training/trainable_weights.h"
#include "core/training/training_run.h"
#include "core/training/video_tensor.h"
#include "core/training/world/renderer.h"
#include "core/training/component_files.h"

namespace ditscope {

namespace {

constexpr int kWindowFrames = 17;      // of a pooled clip: two chunks of the decoder (3 + 2 latents)
constexpr std::size_t kPoolClips = 96; // windows that crops are drawn from
constexpr int kStepsPerClip = 4;       // between two replacements: rendering takes a small part of the time
constexpr int kPieces = 2;             // of a step's batch on a CPU, side by side
constexpr double kKlWeight = 3e-4;   // holds the latents centred and the decoder steady under small errors of a transformer

/// Lengths that crops are cut to, and how many of them cost as much as one of 17 frames. Short crops show many objects and
/// colours a step; long ones train the cached path of later chunks.
struct CropShape {
  int frames, batch;
};
constexpr CropShape kCropShapes[] = {{1, 16}, {9, 2}, {17, 1}};  // an odd number of latents each: others decode to more frames

/// A window of 17 consecutive frames of a 33-frame clip at 64, 128 or 256 px.
RenderedClip render_window(world::SceneRandom& random) {
  RenderedClip clip;
  clip.scene = world::sample_scene(random);
  clip.frames = kWindowFrames;
  clip.size = 64 << random.below(3);
  clip.rgb.resize(static_cast<std::size_t>(clip.frames) * clip.size * clip.size * 3);
  const int first = random.below(kClipFrames - kWindowFrames + 1);
  const std::size_t frame_bytes = static_cast<std::size_t>(clip.size) * clip.size * 3;
  for (int i = 0; i < clip.frames; ++i) {
    const float moment = static_cast<float>(first + i) / (kClipFrames - 1);
    world::render_frame(clip.scene, moment, clip.size, clip.size, clip.rgb.data() + frame_bytes * i);
  }
  return clip;
}

at::Tensor random_crops(const std::vector<RenderedClip>& pool, int batch, int frames, int crop, world::SceneRandom& random) {
  std::vector<at::Tensor> crops;
  while (static_cast<int>(crops.size()) < batch) {
    const auto& clip = pool[random.below(static_cast<int>(pool.size()))];
    if (clip.size < crop) continue;
    const int row = random.below(clip.size - crop + 1);
    const int column = random.below(clip.size - crop + 1);
    const int first = random.below(clip.frames - frames + 1);
    crops.push_back(video_bytes(clip).slice(1, first, first + frames).slice(2, row, row + crop).slice(3, column, column + crop));  // (3,F,y,x)
  }
  return at::stack(crops);  // (B,3,F,y,x)
}

struct VaeLoss {
  at::Tensor total;
  double reconstruction = 0;
};

VaeLoss vae_loss(const CogVideoXVae& vae, const at::Tensor& video) {
  const auto moments = vae.encode_moments(video).to(at::kFloat).chunk(2, 1);
  const auto mean = moments[0], log_variance = moments[1].clamp(-30.0, 20.0);  // (B,C,F',Y',X')
  const auto latents = mean + (0.5 * log_variance).exp() * at::randn_like(mean);
  const auto decoded = vae.decode(latents).to(at::kFloat);  // (B,3,F,y,x)
  const auto difference = decoded - video;
  const auto reconstruction = difference.abs().mean() + difference.square().mean();
  const auto kl = 0.5 * (mean.square() + log_variance.exp() - 1.0 - log_variance).mean();
  return {reconstruction + kKlWeight * kl, reconstruction.item<double>()};
}

struct Quality {
  double psnr_db = 0;
  double latent_deviation = 1;
};

/// Mean PSNR of whole held-out clips at 128 px through the averaged weights, and the spread of their latents.
Quality measure_quality(const std::map<std::string, at::Tensor>& weights, at::Device device, int clips, bool bfloat16_autocast) {
  c10::NoGradGuard no_grad;
  TrainableWeights source(0, device, weights);
  const CogVideoXVae vae(bundled_vae_config(), source, true);
  world::SceneRandom random(20240611);
  Quality quality{0, 0};
  for (int i = 0; i < clips; ++i) {
    const world::Scene scene = world::sample_scene(random, {.split = world::Split::HeldOut});
    RenderedClip clip{scene, kClipFrames, 128, std::vector<std::uint8_t>(static_cast<std::size_t>(kClipFrames) * 128 * 128 * 3)};
    world::render(scene, 128, 128, kClipFrames, clip.rgb.data());
    const auto video = video_tensor(clip).unsqueeze(0).to(device);             // (1,3,F,Y,X)
    Bfloat16Scope bfloat16(bfloat16_autocast, device.is_cuda());
    const auto mean = vae.encode_moments(video).chunk(2, 1)[0];                // (1,C,F',Y',X')
    const auto decoded = vae.decode(mean).to(at::kFloat).clamp(-1, 1);         // (1,3,F,Y,X)
    const double mse = ((decoded - video) * 0.5).square().mean().item<double>();
    quality.psnr_db += 10 * std::log10(1 / std::max(mse, 1e-10)) / clips;
    quality.latent_deviation += mean.to(at::kFloat).std().item<double>() / clips;
  }
  return quality;
}

}  // namespace

void train_vae(const TrainingOptions& options, const TrainingReport& report, const TrainingStop& stop) {
  const at::Device device = usable_device(options.device);
  const int replica_number = replica_count(options.threads, device);
  if (device.is_cpu()) at::set_num_threads(1);  // the replicas share the cores
  at::manual_seed(options.seed);
  TrainableWeights weights(options.seed, device, component_weights(options.initial_model, "vae", "diffusion_pytorch_model.safetensors"));
  std::deque<CogVideoXVae> replicas;
  replicas.emplace_back(bundled_vae_config(), weights, true);
  std::vector<std::vector<at::Tensor>> leaves{weights.tensors()};
  while (static_cast<int>(replicas.size()) < replica_number) {
    TrainableWeights shared = weights.replica();
    replicas.emplace_back(bundled_vae_config(), shared, true);
    leaves.push_back(shared.tensors());
  }
  GradientThreads threads(std::move(leaves));
  Optimizer optimizer(weights.keys(), weights.tensors(), {.ema_decay = 0.995});
  TrainingRun run(options, report, stop);
  run.restore(optimizer);

  world::SceneRandom random(options.seed + static_cast<std::uint64_t>(run.step()));
  ExampleFactory<RenderedClip> factory(render_window, options.render_threads, 8, random.next());
  std::vector<RenderedClip> pool;
  while (pool.size() < 24 && !run.stopped()) pool.push_back(factory.next());
  std::size_t replaced = 0;

  const auto export_weights = [&](int clips) {
    const Quality quality = measure_quality(optimizer.average(), device, clips, options.bfloat16);
    CogVideoXVaeConfig config = bundled_vae_config();
    config.scaling_factor = 1.0 / quality.latent_deviation;
    write_component(options.folder / "vae", config.to_json(), "diffusion_pytorch_model.safetensors", optimizer.average(), at::kFloat);
    return quality.psnr_db;
  };

  while (!run.finished()) {
    if (run.step() % kStepsPerClip == 0) {
      if (auto clip = factory.try_next()) {
        if (pool.size() < kPoolClips) pool.push_back(std::move(*clip));
        else pool[replaced++ % kPoolClips] = std::move(*clip);
      }
    }
    // Large crops towards the end: the statistics of the group norms then approach those of whole frames.
    const bool large = run.fraction() > 0.8;
    const int crop = large ? 128 : 64;
    std::vector<at::Tensor> crops;
    for (int i = 0; i < (device.is_cuda() ? 1 : kPieces); ++i) {
      const CropShape shape = kCropShapes[random.below(static_cast<int>(std::size(kCropShapes)))];
      const int batch = std::max(1, shape.batch * (device.is_cuda() ? 16 : 1) / (large ? 4 : 1));
      crops.push_back(random_crops(pool, batch, shape.frames, crop, random));
    }
    const double loss = threads.run(static_cast<int>(crops.size()), [&](int replica, int piece) {
      const auto video = video_values(crops[static_cast<std::size_t>(piece)].to(device));
      VaeLoss part;
      {
        Bfloat16Scope bfloat16(options.bfloat16, device.is_cuda());
        part = vae_loss(replicas[static_cast<std::size_t>(replica)], video);
      }
      part.total.backward();
      return part.reconstruction;
    });
    const double rate = learning_rate_at(run.fraction(), options.learning_rate, 0.02, 0.02);
    const double norm = optimizer.step(rate);
    if (run.advance(loss, norm, rate, std::to_string(crop) + " px crops")) {
      run.save(optimizer);
      report({.phase = "measured on held-out clips", .step = run.step(), .fraction = run.fraction(), .quality = export_weights(4)});
    }
  }
  run.save(optimizer);
  report({.phase = "measured on held-out clips", .step = run.step(), .fraction = run.fraction(), .quality = export_weights(8)});
}

}  // namespace ditscope
