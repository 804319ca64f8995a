#include "core/vae/row_kernels.h"

#include "core/bridge/vector_math.h"

namespace ditscope::vae {

DITSCOPE_VECTOR_CLONES
void modulate_silu_row(const float* __restrict x, const float* __restrict gain, const float* __restrict offset,
                       float* __restrict out, int64_t count) {
  for (int64_t i = 0; i < count; ++i) {
    const float v = x[i] * gain[i] + offset[i];
    out[i] = v / (1.0f + exponential(-v));
  }
}

DITSCOPE_VECTOR_CLONES
void sum_lanes(const float* __restrict x, int64_t pixels, int64_t channels, const float* __restrict pivot,
               float* __restrict sum_out, float* __restrict square_out) {
  float sum[kLanes] = {}, square[kLanes] = {};
  for (int64_t p = 0; p < pixels; ++p) {
    for (int64_t i = 0; i < kLanes; ++i) {
      const float v = x[p * channels + i] - pivot[i];
      sum[i] += v;
      square[i] += v * v;
    }
  }
  std::memcpy(sum_out, sum, sizeof sum);
  std::memcpy(square_out, square, sizeof square);
}

void place_pixels(const char* __restrict groups, int64_t pixel_bytes, int64_t columns, char* __restrict out) {
  const auto count = static_cast<size_t>(pixel_bytes);
  for (int64_t x = 0; x < columns; ++x, groups += 4 * pixel_bytes, out += 2 * pixel_bytes) {
    std::memcpy(out, groups, count);
    std::memcpy(out + pixel_bytes, groups + 5 * pixel_bytes, count);
  }
}

DITSCOPE_VECTOR_CLONES
void widen_row(const uint16_t* __restrict x, float* __restrict out, int64_t count) {
  for (int64_t i = 0; i < count; ++i) {
    const uint32_t bits = static_cast<uint32_t>(x[i]) << 16;
    std::memcpy(out + i, &bits, sizeof bits);
  }
}

DITSCOPE_VECTOR_CLONES
void narrow_row(const float* __restrict x, uint16_t* __restrict out, int64_t count) {
  for (int64_t i = 0; i < count; ++i) {
    uint32_t bits;
    std::memcpy(&bits, x + i, sizeof bits);
    const uint32_t rounded = (bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16;
    out[i] = static_cast<uint16_t>((bits & 0x7fffffffu) > 0x7f800000u ? 0x7fc0u : rounded);
  }
}

}  // namespace ditscope::vae
