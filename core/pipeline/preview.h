#pragma once
#include <ATen/core/Tensor.h>

#include <filesystem>
#include <functional>
#include <optional>

#include "core/media/frames.h"

namespace ditscope {

/// A linear map from a latent vector to the mean colour of the pixels it stands for: rgb = weight . z + bias, clamped to 0..1.
/// It shows a predicted clean video for almost nothing, at the size of the latents.
struct LatentToRgb {
  at::Tensor weight;  // (3,C) float32
  at::Tensor bias;    // (3) float32

  /// `latent_rgb.json` of a model folder, {"weight": [[..] x C] x 3, "bias": [..] x 3}, written when the model was trained.
  /// @return nothing where the folder has none
  /// @throws Error{Corrupt} where its shape does not fit `channels`
  static std::optional<LatentToRgb> read(const std::filesystem::path& folder, std::int64_t channels);

  /// Least squares over small random stills that `decode` turns into pixels: latents (B,C,1,Y,X) as the sampler holds them
  /// -> (B,3,1,sY,sX) in -1..1. Always the same stills, so the same map; draws nothing from the generator of a run.
  static LatentToRgb fit(const std::function<at::Tensor(const at::Tensor&)>& decode, std::int64_t channels);

  /// @param latents  (B,F,C,Y,X), predicted clean; the first of the batch is shown
  Frames operator()(const at::Tensor& latents, double fps) const;
};

}  // namespace ditscope
