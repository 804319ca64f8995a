#include "core/vae/row_kernels.h"

#include "core/bridge/vector_math.h"

namespace ditscope::vae {

template <typename Element>
inline __attribute__((always_inline)) void modulate_silu_body(const Element* __restrict x, const float* __restrict gain,
                                                              const float* __restrict offset, Element* __restrict out,
                                                              int64_t count) {
  for (int64_t i = 0; i < count; ++i) {
    const float v = load_element(x + i) * gain[i] + offset[i];
    store_element(out + i, v / (1.0f + exponential(-v)));
  }
}

template <typename Element>
inline __attribute__((always_inline)) void sum_lanes_body(const Element* __restrict x, int64_t pixels, int64_t channels,
                                                          const float* __restrict pivot, float* __restrict sum_out,
                                                          float* __restrict square_out) {
  float sum[kLanes] = {}, square[kLanes] = {};
  for (int64_t p = 0; p < pixels; ++p) {
    for (int64_t i = 0; i < kLanes; ++i) {
      const float v = load_element(x + p * channels + i) - pivot[i];
      sum[i] += v;
      square[i] += v * v;
    }
  }
  std::memcpy(sum_out, sum, sizeof sum);
  std::memcpy(square_out, square, sizeof square);
}

DITSCOPE_VECTOR_CLONES
void modulate_silu_row(const float* x, const float* gain, const float* offset, float* out, int64_t count) {
  modulate_silu_body(x, gain, offset, out, count);
}

DITSCOPE_VECTOR_CLONES
void modulate_silu_row(const uint16_t* x, const float* gain, const float* offset, uint16_t* out, int64_t count) {
  modulate_silu_body(x, gain, offset, out, count);
}

DITSCOPE_VECTOR_CLONES
void sum_lanes(const float* x, int64_t pixels, int64_t channels, const float* pivot, float* sum_out, float* square_out) {
  sum_lanes_body(x, pixels, channels, pivot, sum_out, square_out);
}

DITSCOPE_VECTOR_CLONES
void sum_lanes(const uint16_t* x, int64_t pixels, int64_t channels, const float* pivot, float* sum_out, float* square_out) {
  sum_lanes_body(x, pixels, channels, pivot, sum_out, square_out);
}

void place_pixels(const char* __restrict groups, int64_t pixel_bytes, int64_t columns, char* __restrict out) {
  const auto count = static_cast<size_t>(pixel_bytes);
  for (int64_t x = 0; x < columns; ++x, groups += 4 * pixel_bytes, out += 2 * pixel_bytes) {
    std::memcpy(out, groups, count);
    std::memcpy(out + pixel_bytes, groups + 5 * pixel_bytes, count);
  }
}

}  // namespace ditscope::vae
