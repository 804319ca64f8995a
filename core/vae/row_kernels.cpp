#include "core/vae/row_kernels.h"

#include <cstring>

// The loops below are plain C++ that the compiler turns into vectors, once for each kind of processor; the loader picks one.
#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__)
#define DITSCOPE_VECTOR_CLONES __attribute__((target_clones("default", "arch=x86-64-v3", "arch=x86-64-v4")))
#else
#define DITSCOPE_VECTOR_CLONES
#endif

namespace ditscope::vae {
namespace {

/// e^x within 2 units in the last place for |x| < 87, saturating beyond: 2^n e^r with |r| <= ln(2)/2.
inline __attribute__((always_inline)) float exponential(float x) {
  x = x < -87.0f ? -87.0f : x;
  x = x > 87.0f ? 87.0f : x;
  const float n = (x * 1.44269504f + 12582912.0f) - 12582912.0f;  // rounds to the nearest integer
  const float r = (x - n * 0.693359375f) + n * 2.12194440e-4f;    // ln 2 in two parts
  float p = 1.0f / 5040.0f;
  p = p * r + 1.0f / 720.0f;
  p = p * r + 1.0f / 120.0f;
  p = p * r + 1.0f / 24.0f;
  p = p * r + 1.0f / 6.0f;
  p = p * r + 0.5f;
  p = p * r + 1.0f;
  p = p * r + 1.0f;
  const int32_t bits = (static_cast<int32_t>(n) + 127) << 23;
  float scale;
  std::memcpy(&scale, &bits, sizeof scale);
  return p * scale;
}

}  // namespace

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
