#pragma once
#include <ATen/core/Tensor.h>

#include <cstdint>
#include <optional>
#include <unordered_map>

#include "core/checkpoint/weight_source.h"

namespace ditscope::vae {

/// The layers that video autoencoders are made of. A layer is a struct of weights and a function of tensors; nothing is
/// updated in place, so gradients flow through all of them. Videos are (B,C,F,Y,X), kept channels last in memory
/// (B,F,Y,X,C): a frame is then one block of memory, so that cutting, joining and batching frames costs nothing.

/// What causal convolutions remember of the frames before the present chunk: their last inputs, by layer.
/// Lives for one video.
using CausalCache = std::unordered_map<const void*, at::Tensor>;

/// Brings a video into the memory order that the layers work in.
at::Tensor channels_last(const at::Tensor& video);  // (B,C,F,Y,X)

/// A convolution over time, rows and columns. Rows and columns are zero padded to keep their size; time is not padded.
/// Where the tensor is too large for the 32-bit indices of a backend it is computed in spans of frames.
struct Conv3d {
  at::Tensor weight;  // (Cout,Cin,kf,ky,kx)
  at::Tensor bias;    // (Cout)

  Conv3d() = default;
  Conv3d(const WeightScope& weights, int64_t in_channels, int64_t out_channels, int64_t kernel_size);
  at::Tensor operator()(const at::Tensor& x) const;  // (B,Cin,F,Y,X) -> (B,Cout,F-kf+1,Y,X)
  /// With at most `span` frames of the result at a time.
  at::Tensor in_spans(const at::Tensor& x, int64_t span) const;
};

/// A convolution that sees only the present and the past: the frames before the first are copies of the first.
struct CausalConv3d {
  Conv3d conv;

  CausalConv3d() = default;
  CausalConv3d(const WeightScope& weights, int64_t in_channels, int64_t out_channels, int64_t kernel_size = 3);
  int64_t lead_frames() const { return conv.weight.size(2) - 1; }
  at::Tensor operator()(const at::Tensor& x, CausalCache& cache) const;  // (B,Cin,F,Y,X) -> (B,Cout,F,Y,X)
  /// The same for a tensor that has room in front: its first frames are overwritten with the past.
  at::Tensor in_place_padded(at::Tensor padded, CausalCache& cache) const;  // (B,Cin,lead+F,Y,X) -> (B,Cout,F,Y,X)
};

/// Group normalisation with statistics over all frames of the chunk it is given (Wu & He 2018, arXiv:1803.08494).
struct GroupNorm {
  at::Tensor weight, bias;  // (C) (C)
  int64_t groups = 1;
  double eps = 1e-6;

  GroupNorm() = default;
  GroupNorm(const WeightScope& weights, int64_t channels, int64_t group_count, double epsilon);
  at::Tensor operator()(const at::Tensor& x) const;  // (B,C,F,Y,X)
};

/// norm(f) * y(zq) + b(zq): a group norm whose gain and offset come from the latents, stretched to the size of f
/// (Zheng et al. 2022, MoVQ, arXiv:2209.09002, eq. 5). y and b are 1x1x1 convolutions and stretching repeats values, so
/// they are evaluated on the latents and stretched afterwards. An odd number of frames holds one first frame, which
/// belongs to the first latent alone, before the frames shared by the others.
struct SpatialNorm {
  GroupNorm norm;
  Conv3d y, b;

  SpatialNorm() = default;
  SpatialNorm(const WeightScope& weights, int64_t channels, int64_t latent_channels, int64_t groups);
  at::Tensor operator()(const at::Tensor& f, const at::Tensor& zq) const;  // (B,C,F,Y,X) (B,Cz,f,y,x)
};

/// conv(silu(norm(x))), the step that everything here is built of; in one piece where can_fuse_norm_silu says so.
at::Tensor norm_silu_conv(const GroupNorm& norm, const at::Tensor& x, const CausalConv3d& conv, CausalCache& cache);
at::Tensor norm_silu_conv(const SpatialNorm& norm, const at::Tensor& x, const at::Tensor& zq, const CausalConv3d& conv,
                          CausalCache& cache);

/// Doubles rows and columns, and frames where asked, then convolves every frame by itself.
struct Upsample {
  at::Tensor weight, bias;  // (C,C,3,3) (C)
  bool doubles_time = false;

  Upsample() = default;
  Upsample(const WeightScope& weights, int64_t channels, bool time);
  at::Tensor operator()(const at::Tensor& x) const;  // (B,C,F,Y,X) -> (B,C,F',2Y,2X)
};

/// Halves rows and columns, and frames where asked (pairs are averaged; an odd first frame stays as it is).
struct Downsample {
  at::Tensor weight, bias;  // (C,C,3,3) (C)
  bool halves_time = false;

  Downsample() = default;
  Downsample(const WeightScope& weights, int64_t channels, bool time);
  at::Tensor operator()(const at::Tensor& x) const;  // (B,C,F,Y,X) -> (B,C,F',Y/2,X/2)
};

}  // namespace ditscope::vae
