#include "core/vae/layers.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <c10/core/GradMode.h>

#include <algorithm>
#include <utility>
#include <vector>

#include "core/bridge/profile.h"
#include "core/vae/norm_silu.h"
#include "core/vae/row_kernels.h"

namespace ditscope::vae {
namespace {

/// Backends index a tensor with 32 bits; the margin leaves room for their own padding and workspaces.
constexpr int64_t kMaxConvElements = int64_t{1} << 30;
constexpr int64_t kGrainBytes = 65536;  // what is worth a thread

/// A convolution with groups and dilation of 1. LibTorch sends small float32 ones to a loop over matrix products, which is
/// several times slower than oneDNN at the sizes of a decoder's first blocks. Training goes through conv2d and conv3d instead:
/// only these take part in autocast.
at::Tensor convolve(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias, const std::vector<int64_t>& stride,
                    const std::vector<int64_t>& padding) {
  const std::vector<int64_t> ones(stride.size(), 1), zeros(stride.size(), 0);
  if (c10::GradMode::is_enabled()) {
    return stride.size() == 3 ? at::conv3d(x, weight, bias, stride, padding, ones, 1) : at::conv2d(x, weight, bias, stride, padding, ones, 1);
  }
  if (x.device().is_cpu() && x.scalar_type() == at::kFloat && at::hasMKLDNN() && at::globalContext().userEnabledMkldnn()) {
    return at::mkldnn_convolution(x, weight, bias, padding, stride, ones, 1);
  }
  return at::convolution(x, weight, bias, stride, padding, ones, false, zeros, 1);
}

/// Additions and multiplications of a convolution whose result is `out`.
double flop(const at::Tensor& out, const at::Tensor& weight) {
  return 2.0 * static_cast<double>(out.numel()) * static_cast<double>(weight.numel()) / static_cast<double>(weight.size(0));
}

/// convolve() under its name in the profile.
at::Tensor counted(const char* name, const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias,
                   const std::vector<int64_t>& stride, const std::vector<int64_t>& padding) {
  Profile::Stretch stretch(Profile::Kind::Convolution, name);
  const at::Tensor out = convolve(x, weight, bias, stride, padding);
  stretch.count(flop(out, weight));
  return out;
}

/// (B,C,F,Y,X) -> (B*F,C,Y,X): a view when the video is channels last.
at::Tensor frames_as_batch(const at::Tensor& x) { return x.transpose(1, 2).flatten(0, 1); }

/// (B*F,C,Y,X) -> (B,C,F,Y,X)
at::Tensor batch_as_frames(const at::Tensor& x, int64_t batch) {
  return x.unflatten(0, {batch, x.size(0) / batch}).transpose(1, 2);
}

/// Repeats every value of z so that it has the frames, rows and columns of f.
at::Tensor stretch(const at::Tensor& z, int64_t frames, int64_t rows, int64_t columns) {
  if (z.size(2) == frames && z.size(3) == rows && z.size(4) == columns) return z;
  if (frames > 1 && frames % 2 == 1) {
    return at::cat({stretch(z.narrow(2, 0, 1), 1, rows, columns),
                    stretch(z.narrow(2, 1, z.size(2) - 1), frames - 1, rows, columns)}, 2);
  }
  return at::upsample_nearest3d(z, {frames, rows, columns});  // (B,C,F,Y,X)
}

/// Puts the four pixels that each pixel becomes in their places, and every frame but an odd first one twice.
/// @param corners  (B*F,4C,Y+1,X+1): C channels each of the upper left, upper right, lower left and lower right pixel
at::Tensor place_corners(const at::Tensor& corners, int64_t batch, bool doubles_frames) {
  const Profile::Stretch stretch(Profile::Kind::Elementwise, "pixels of a doubling");
  const at::Tensor source = corners.contiguous(at::MemoryFormat::ChannelsLast);
  const int64_t channels = corners.size(1) / 4, rows = corners.size(2) - 1, columns = corners.size(3) - 1;
  const int64_t frames = corners.size(0) / batch, first = doubles_frames ? frames % 2 : frames;  // first: of these there is one
  const int64_t frames_out = first + 2 * (frames - first);
  const at::Tensor out = at::empty({batch, channels, frames_out, 2 * rows, 2 * columns}, source.options(),
                                   at::MemoryFormat::ChannelsLast3d);  // (B,C,F',2Y,2X)
  const int64_t pixel = channels * static_cast<int64_t>(source.element_size()), line = (columns + 1) * 4 * pixel;
  const char* const from = static_cast<const char*>(source.const_data_ptr());
  char* const to = static_cast<char*>(out.data_ptr());
  const int64_t grain = std::max<int64_t>(1, kGrainBytes / (2 * columns * pixel));
  at::parallel_for(0, batch * frames_out * 2 * rows, grain, [&](int64_t begin, int64_t end) {
    for (int64_t row = begin; row < end; ++row) {
      const int64_t y = row % (2 * rows), frame_out = row / (2 * rows) % frames_out, sample = row / (2 * rows) / frames_out;
      const int64_t frame = frame_out < first ? frame_out : first + (frame_out - first) / 2;
      const char* const lines = from + ((sample * frames + frame) * (rows + 1) + y / 2 + y % 2) * line + y % 2 * 2 * pixel;
      place_pixels(lines, pixel, columns, to + row * 2 * columns * pixel);
    }
  });
  return out;
}

}  // namespace

at::Tensor channels_last(const at::Tensor& video) { return video.contiguous(at::MemoryFormat::ChannelsLast3d); }

Conv3d::Conv3d(const WeightScope& weights, int64_t in_channels, int64_t out_channels, int64_t kernel_size)
    : weight(weights.take("weight", {out_channels, in_channels, kernel_size, kernel_size, kernel_size})),
      bias(weights.take("bias", {out_channels})) {}

at::Tensor Conv3d::operator()(const at::Tensor& x) const {
  const int64_t frame_elements = x.size(0) * std::max(weight.size(0), weight.size(1)) * x.size(3) * x.size(4);
  return in_spans(x, std::max<int64_t>(1, kMaxConvElements / frame_elements - weight.size(2) + 1));
}

at::Tensor Conv3d::in_spans(const at::Tensor& x, int64_t span) const {
  const int64_t lead = weight.size(2) - 1, frames_out = x.size(2) - lead;  // lead: frames that an output frame looks back on
  const std::vector<int64_t> stride{1, 1, 1}, padding{0, weight.size(3) / 2, weight.size(4) / 2};
  const char* name = weight.size(2) > 1 ? "3 x 3 x 3" : "1 x 1 x 1";
  if (frames_out <= span) return counted(name, x, weight, bias, stride, padding);
  std::vector<at::Tensor> parts;
  for (int64_t start = 0; start < frames_out; start += span) {
    const int64_t frames = std::min(span, frames_out - start);
    parts.push_back(counted(name, x.narrow(2, start, frames + lead), weight, bias, stride, padding));
  }
  return at::cat(parts, 2);
}

CausalConv3d::CausalConv3d(const WeightScope& weights, int64_t in_channels, int64_t out_channels, int64_t kernel_size)
    : conv(weights / "conv", in_channels, out_channels, kernel_size) {}

at::Tensor CausalConv3d::operator()(const at::Tensor& x, CausalCache& cache) const {
  const int64_t lead = lead_frames();
  at::Tensor& past = cache[this];
  if (!past.defined()) past = x.narrow(2, 0, 1).expand({-1, -1, lead, -1, -1});
  const at::Tensor padded = at::cat({past, x}, 2);  // (B,C,lead+F,Y,X)
  past = padded.narrow(2, padded.size(2) - lead, lead).clone();
  return conv(padded);
}

at::Tensor CausalConv3d::in_place_padded(at::Tensor padded, CausalCache& cache) const {
  const int64_t lead = lead_frames();
  at::Tensor& past = cache[this];
  padded.narrow(2, 0, lead).copy_(past.defined() ? past : padded.narrow(2, lead, 1));
  past = padded.narrow(2, padded.size(2) - lead, lead).clone();
  return conv(padded);
}

GroupNorm::GroupNorm(const WeightScope& weights, int64_t channels, int64_t group_count, double epsilon)
    : weight(weights.take("weight", {channels})), bias(weights.take("bias", {channels})), groups(group_count), eps(epsilon) {}

at::Tensor GroupNorm::operator()(const at::Tensor& x) const { return at::group_norm(x, groups, weight, bias, eps); }

SpatialNorm::SpatialNorm(const WeightScope& weights, int64_t channels, int64_t latent_channels, int64_t groups)
    : norm(weights / "norm_layer", channels, groups, 1e-6),
      y(weights / "conv_y.conv", latent_channels, channels, 1),
      b(weights / "conv_b.conv", latent_channels, channels, 1) {}

at::Tensor SpatialNorm::operator()(const at::Tensor& f, const at::Tensor& zq) const {
  const int64_t frames = f.size(2), rows = f.size(3), columns = f.size(4);
  return norm(f) * stretch(y(zq), frames, rows, columns) + stretch(b(zq), frames, rows, columns);  // (B,C,F,Y,X)
}

at::Tensor norm_silu_conv(const GroupNorm& norm, const at::Tensor& x, const CausalConv3d& conv, CausalCache& cache) {
  if (!can_fuse_norm_silu(x)) return conv(at::silu(norm(x)), cache);
  return conv.in_place_padded(norm_silu(norm, x, {}, {}, conv.lead_frames()), cache);
}

at::Tensor norm_silu_conv(const SpatialNorm& norm, const at::Tensor& x, const at::Tensor& zq, const CausalConv3d& conv,
                          CausalCache& cache) {
  if (!can_fuse_norm_silu(x)) return conv(at::silu(norm(x, zq)), cache);
  return conv.in_place_padded(norm_silu(norm.norm, x, norm.y(zq), norm.b(zq), conv.lead_frames()), cache);
}

Upsample::Upsample(const WeightScope& weights, int64_t channels, bool time)
    : weight(weights.take("conv.weight", {channels, channels, 3, 3})),
      bias(weights.take("conv.bias", {channels})),
      doubles_time(time) {}

at::Tensor Upsample::operator()(const at::Tensor& x) const {
  // A 3x3 convolution of an image whose every pixel is there twice in each direction sees only 2x2 different pixels. So each
  // of the four pixels that come from one has a 2x2 kernel on the small image, whose taps are sums of the 3x3 kernel's.
  const auto halve = [](const at::Tensor& w, int64_t dim) {  // 3 taps -> (first pixel's 2 taps, second pixel's 2 taps)
    const auto taps = w.unbind(dim);
    return std::pair{at::stack({taps[0], taps[1] + taps[2]}, dim), at::stack({taps[0] + taps[1], taps[2]}, dim)};
  };
  const auto [upper, lower] = halve(weight, 2);
  const auto [upper_left, upper_right] = halve(upper, 3);
  const auto [lower_left, lower_right] = halve(lower, 3);
  const at::Tensor kernels = at::cat({upper_left, upper_right, lower_left, lower_right});  // (4C,C,2,2)
  const at::Tensor biases = bias.repeat({4});

  const at::Tensor frames = frames_as_batch(x);  // (B*F,C,Y,X)
  const int64_t channels = x.size(1), rows = x.size(3), columns = x.size(4);
  const bool doubles = doubles_time && x.size(2) > 1;
  if (x.device().is_cpu() && !c10::GradMode::is_enabled()) {
    const at::Tensor corners = counted("doubling", frames, kernels, biases, {1, 1}, {1, 1});  // (B*F,4C,Y+1,X+1)
    return place_corners(corners, x.size(0), doubles);
  }
  const int64_t span = std::max<int64_t>(1, kMaxConvElements / (4 * channels * (rows + 1) * (columns + 1)));
  std::vector<at::Tensor> parts;
  for (int64_t start = 0; start < frames.size(0); start += span) {
    const at::Tensor part = frames.narrow(0, start, std::min(span, frames.size(0) - start));
    const auto corners = convolve(part, kernels, biases, {1, 1}, {1, 1}).permute({0, 2, 3, 1}).chunk(4, 3);  // (N,Y+1,X+1,C)
    std::vector<at::Tensor> lines;
    for (const int64_t y : {0, 1}) {
      const at::Tensor left = corners[2 * y].narrow(1, y, rows).narrow(2, 0, columns);
      const at::Tensor right = corners[2 * y + 1].narrow(1, y, rows).narrow(2, 1, columns);
      lines.push_back(at::stack({left, right}, 3).flatten(2, 3));  // (N,Y,2X,C)
    }
    parts.push_back(at::stack(lines, 2).flatten(1, 2).permute({0, 3, 1, 2}));  // (N,C,2Y,2X)
  }
  const at::Tensor video = batch_as_frames(parts.size() == 1 ? parts[0] : at::cat(parts), x.size(0));  // (B,C,F,2Y,2X)
  if (!doubles) return video;
  // Frames are convolved one by one, so doubling them last is the same and half the work.
  return stretch(video, 2 * x.size(2) - x.size(2) % 2, 2 * rows, 2 * columns);  // (B,C,2F or 2F-1,2Y,2X)
}

Downsample::Downsample(const WeightScope& weights, int64_t channels, bool time)
    : weight(weights.take("conv.weight", {channels, channels, 3, 3})),
      bias(weights.take("conv.bias", {channels})),
      halves_time(time) {}

at::Tensor Downsample::operator()(const at::Tensor& x) const {
  at::Tensor video = x;
  if (halves_time && x.size(2) > 1) {
    const int64_t first = x.size(2) % 2;
    const at::Tensor pairs = (x.slice(2, first, std::nullopt, 2) + x.slice(2, first + 1, std::nullopt, 2)) * 0.5;
    video = first ? at::cat({x.narrow(2, 0, 1), pairs}, 2) : pairs;  // (B,C,F/2 or (F+1)/2,Y,X)
  }
  const at::Tensor frames = frames_as_batch(at::constant_pad_nd(video, {0, 1, 0, 1}, 0));  // (B*F,C,Y+1,X+1)
  return batch_as_frames(counted("halving", frames, weight, bias, {2, 2}, {0, 0}), x.size(0));             // (B,C,F,Y/2,X/2)
}

}  // namespace ditscope::vae
