#include "core/vae/norm_silu.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <c10/core/GradMode.h>

#include <algorithm>
#include <cmath>
#include <vector>

#include "core/bridge/profile.h"
#include "core/bridge/vector_math.h"
#include "core/vae/layers.h"
#include "core/vae/row_kernels.h"

namespace ditscope::vae {
namespace {

constexpr int64_t kRowsPerBlock = 16;    // rows of pixels whose sums are added up on their own
constexpr int64_t kGrainValues = 16384;  // what is worth a thread

template <typename Element>
void add_row(const Element* x, int64_t pixels, int64_t channels, const float* pivot, double* sum, double* square) {
  int64_t c = 0;
  for (; c + kLanes <= channels; c += kLanes) {
    float lane_sum[kLanes], lane_square[kLanes];
    sum_lanes(x + c, pixels, channels, pivot + c, lane_sum, lane_square);
    for (int64_t i = 0; i < kLanes; ++i) {
      sum[c + i] += lane_sum[i];
      square[c + i] += lane_square[i];
    }
  }
  for (; c < channels; ++c) {
    for (int64_t p = 0; p < pixels; ++p) {
      const double v = static_cast<double>(load_element(x + p * channels + c)) - pivot[c];
      sum[c] += v;
      square[c] += v * v;
    }
  }
}

/// The norm as norm(f) = f * scale + shift, for every sample and channel.
struct Affine {
  std::vector<float> scale, shift;  // (B,C)
};

/// Sums are taken of differences from each channel's first value, so that a large mean does not drown a small variance.
template <typename Element>
Affine measure(const GroupNorm& norm, const at::Tensor& f) {
  const int64_t batch = f.size(0), channels = f.size(1), columns = f.size(4), rows = f.size(2) * f.size(3);
  const int64_t blocks = (rows + kRowsPerBlock - 1) / kRowsPerBlock;
  const int64_t row_values = columns * channels;
  const auto* const source = static_cast<const Element*>(f.const_data_ptr());
  std::vector<float> pivots(batch * channels);
  for (int64_t i = 0; i < batch * channels; ++i) pivots[i] = load_element(source + i / channels * rows * row_values + i % channels);
  std::vector<double> sums(batch * blocks * 2 * channels, 0.0);
  const int64_t grain = std::max<int64_t>(1, kGrainValues / (kRowsPerBlock * columns * channels));
  at::parallel_for(0, batch * blocks, grain, [&](int64_t begin, int64_t end) {
    for (int64_t block = begin; block < end; ++block) {
      const int64_t b = block / blocks, start = block % blocks * kRowsPerBlock;
      double* sum = sums.data() + block * 2 * channels;
      for (int64_t row = start; row < std::min(rows, start + kRowsPerBlock); ++row) {
        add_row(source + (b * rows + row) * row_values, columns, channels, pivots.data() + b * channels, sum, sum + channels);
      }
    }
  });

  const at::Tensor weights = norm.weight.to(at::kFloat).contiguous(), biases = norm.bias.to(at::kFloat).contiguous();
  const float *weight = weights.const_data_ptr<float>(), *bias = biases.const_data_ptr<float>();
  const int64_t width = channels / norm.groups;
  const double count = static_cast<double>(rows * columns);
  Affine affine{std::vector<float>(batch * channels), std::vector<float>(batch * channels)};
  std::vector<double> mean(channels), spread(channels);  // spread: sum of squared differences from the channel's mean
  for (int64_t b = 0; b < batch; ++b) {
    for (int64_t c = 0; c < channels; ++c) {
      double sum = 0, square = 0;
      for (int64_t block = 0; block < blocks; ++block) {
        sum += sums[(b * blocks + block) * 2 * channels + c];
        square += sums[((b * blocks + block) * 2 + 1) * channels + c];
      }
      mean[c] = pivots[b * channels + c] + sum / count;
      spread[c] = square - sum * sum / count;
    }
    for (int64_t start = 0; start < channels; start += width) {
      double group_mean = 0, group_spread = 0;
      for (int64_t c = start; c < start + width; ++c) group_mean += mean[c] / static_cast<double>(width);
      for (int64_t c = start; c < start + width; ++c) group_spread += spread[c] + count * (mean[c] - group_mean) * (mean[c] - group_mean);
      const double inverse_deviation = 1.0 / std::sqrt(std::max(group_spread, 0.0) / (count * static_cast<double>(width)) + norm.eps);
      for (int64_t c = start; c < start + width; ++c) {
        affine.scale[b * channels + c] = static_cast<float>(inverse_deviation * weight[c]);
        affine.shift[b * channels + c] = static_cast<float>(bias[c] - group_mean * inverse_deviation * weight[c]);
      }
    }
  }
  return affine;
}

/// The frame of `sources` that frame t of `frames` repeats; see SpatialNorm.
int64_t source_frame(int64_t t, int64_t frames, int64_t sources) {
  if (frames == 1 || frames % 2 == 0 || sources == 1) return t * sources / frames;
  return t == 0 ? 0 : 1 + (t - 1) * (sources - 1) / (frames - 1);
}

/// Writes, for one row of pixels, f's gain scale * y and its offset shift * y + b, every latent repeated over its pixels.
void expand_row(const float* y, const float* b, const float* scale, const float* shift, int64_t sources, int64_t columns,
                int64_t channels, float* gain, float* offset) {
  for (int64_t x = 0; x < columns; ++x, gain += channels, offset += channels) {
    const int64_t at = x * sources / columns * channels;
    for (int64_t c = 0; c < channels; ++c) {
      gain[c] = scale[c] * y[at + c];
      offset[c] = shift[c] * y[at + c] + b[at + c];
    }
  }
}

template <typename Element>
at::Tensor normed_silu(const GroupNorm& norm, const at::Tensor& f, const at::Tensor& gain, const at::Tensor& offset,
                       int64_t lead_frames) {
  const at::Tensor source = channels_last(f);
  const int64_t batch = f.size(0), channels = f.size(1), frames = f.size(2), rows = f.size(3), columns = f.size(4);
  const Affine affine = measure<Element>(norm, source);
  const auto plain = at::TensorOptions().dtype(at::kFloat);
  const at::Tensor y = channels_last(gain.defined() ? gain.to(at::kFloat) : at::ones({batch, channels, 1, 1, 1}, plain));
  const at::Tensor b = channels_last(offset.defined() ? offset.to(at::kFloat) : at::zeros({batch, channels, 1, 1, 1}, plain));
  const int64_t z_frames = y.size(2), z_rows = y.size(3), z_columns = y.size(4);
  const at::Tensor out = at::empty({batch, channels, lead_frames + frames, rows, columns}, source.options(),
                                   at::MemoryFormat::ChannelsLast3d);  // (B,C,lead+F,Y,X)
  const auto* const from = static_cast<const Element*>(source.const_data_ptr());
  auto* const to = static_cast<Element*>(out.data_ptr());
  const int64_t row_values = columns * channels;
  const float *y_data = y.const_data_ptr<float>(), *b_data = b.const_data_ptr<float>();
  const int64_t grain = std::max<int64_t>(1, kGrainValues / (columns * channels));
  at::parallel_for(0, batch * frames * rows, grain, [&](int64_t begin, int64_t end) {
    std::vector<float> gains(columns * channels), offsets(columns * channels);
    int64_t expanded = -1;
    for (int64_t row = begin; row < end; ++row) {
      const int64_t sample = row / (frames * rows), t = row / rows % frames;
      const int64_t z_row = (sample * z_frames + source_frame(t, frames, z_frames)) * z_rows + row % rows * z_rows / rows;
      if (z_row != expanded) {
        const int64_t at = z_row * z_columns * channels;
        expand_row(y_data + at, b_data + at, affine.scale.data() + sample * channels, affine.shift.data() + sample * channels,
                   z_columns, columns, channels, gains.data(), offsets.data());
        expanded = z_row;
      }
      const int64_t out_row = row + (sample + 1) * lead_frames * rows;
      modulate_silu_row(from + row * row_values, gains.data(), offsets.data(), to + out_row * row_values, row_values);
    }
  });
  return out;
}

}  // namespace

bool can_fuse_norm_silu(const at::Tensor& x) {
  return x.device().is_cpu() && (x.scalar_type() == at::kFloat || x.scalar_type() == at::kBFloat16) && !c10::GradMode::is_enabled();
}

at::Tensor norm_silu(const GroupNorm& norm, const at::Tensor& f, const at::Tensor& gain, const at::Tensor& offset,
                     int64_t lead_frames) {
  const Profile::Stretch stretch(Profile::Kind::Elementwise, "norm, SiLU");
  return f.scalar_type() == at::kFloat ? normed_silu<float>(norm, f, gain, offset, lead_frames)
                                       : normed_silu<uint16_t>(norm, f, gain, offset, lead_frames);
}

}  // namespace ditscope::vae
