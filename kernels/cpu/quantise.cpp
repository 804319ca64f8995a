#include <cmath>

#include "kernels/cpu/attention_tile.h"
#include "kernels/cpu/clones.h"
#include "kernels/expect.h"
#include "kernels/int8_attention.h"

namespace ditscope {
namespace {

constexpr int kMostWidth = 256;

DITSCOPE_VECTOR_CLONES float largest_of(const float* row, int width, float largest) {
  constexpr int kLanes = 16;
  float lanes[kLanes] = {};
  int c = 0;
  for (; c + kLanes <= width; c += kLanes)
    for (int i = 0; i < kLanes; ++i) lanes[i] = std::fabs(row[c + i]) > lanes[i] ? std::fabs(row[c + i]) : lanes[i];
  for (; c < width; ++c) largest = std::fabs(row[c]) > largest ? std::fabs(row[c]) : largest;
  for (const float lane : lanes) largest = lane > largest ? lane : largest;
  return largest;
}

inline __attribute__((always_inline)) std::int8_t rounded(float value) {
  const float bounded = value > 127.0f ? 127.0f : value < -127.0f ? -127.0f : value;
  return static_cast<std::int8_t>(static_cast<std::int32_t>(bounded + 12582912.0f - 12582912.0f));  // to nearest, ties to even
}

DITSCOPE_VECTOR_CLONES void round_row(const float* row, int width, float factor, std::int8_t* to, std::int64_t stride) {
  if (stride == 1) {
    for (int c = 0; c < width; ++c) to[c] = rounded(row[c] * factor);
  } else {
    for (int c = 0; c < width; ++c) to[c * stride] = rounded(row[c] * factor);
  }
}

DITSCOPE_VECTOR_CLONES void subtract(float* row, const float* mean, int width) {
  for (int c = 0; c < width; ++c) row[c] -= mean[c];
}

}  // namespace

template <typename Element>
void quantise_tokens(const QuantisationArguments<Element>& a, const Workers& workers) {
  const std::int64_t heads = a.x.shape[0], tokens = a.x.shape[1], width = a.x.shape[2];
  expect_head_width(width);
  expect_view("x", a.x, {heads, tokens, width}, true);
  expect_view("mean", a.mean, {heads, width}, false);
  expect(a.group_tokens >= 1,
         "expected groups of 1 or more tokens, got " + std::to_string(a.group_tokens) + "; take 1, 64 or 128");
  const std::int64_t groups = cpu::blocks_of(tokens, a.group_tokens);
  expect_view("values", a.values, {heads, tokens, width}, true);
  expect_view("scales", a.scales, {heads, groups}, true);

  cpu::parallel_for(workers, heads * groups, [&](std::int64_t i) {
    const std::int64_t head = i / groups, group = i % groups, first = group * a.group_tokens;
    const std::int64_t last = std::min(first + a.group_tokens, tokens);
    const int channels = static_cast<int>(width);
    float mean[kMostWidth] = {}, largest = 0;
    if (a.mean.data) {
      cpu::read_row(a.mean.data + head * a.mean.stride[0], static_cast<std::ptrdiff_t>(a.mean.stride[1]), channels, mean);
    }
    static thread_local cpu::Scratch memory;
    auto* rows = memory.reserve<float>(static_cast<std::size_t>((last - first) * width));
    for (std::int64_t t = first; t < last; ++t) {
      float* row = rows + (t - first) * width;
      cpu::read_row(a.x.data + head * a.x.stride[0] + t * a.x.stride[1], static_cast<std::ptrdiff_t>(a.x.stride[2]), channels,
                    row);
      if (a.mean.data) subtract(row, mean, channels);
      largest = largest_of(row, channels, largest);
    }
    a.scales.data[head * a.scales.stride[0] + group * a.scales.stride[1]] = largest / 127.0f;
    for (std::int64_t t = first; t < last; ++t)
      round_row(rows + (t - first) * width, channels, largest == 0 ? 0.0f : 127.0f / largest,
                a.values.data + head * a.values.stride[0] + t * a.values.stride[1], a.values.stride[2]);
  });
}

template void quantise_tokens(const QuantisationArguments<float>&, const Workers&);
template void quantise_tokens(const QuantisationArguments<Bfloat16Bits>&, const Workers&);

}  // namespace ditscope
