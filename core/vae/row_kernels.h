#pragma once
#include <cstdint>

/// The inner loops of norm_silu, over one row of pixels.
namespace ditscope::vae {

constexpr int64_t kLanes = 16;  ///< channels whose sums stay in registers

/// out[i] = silu(x[i] * gain[i] + offset[i]); sums in float32, 16-bit elements are the bits of a bfloat16.
void modulate_silu_row(const float* x, const float* gain, const float* offset, float* out, int64_t count);
void modulate_silu_row(const uint16_t* x, const float* gain, const float* offset, uint16_t* out, int64_t count);

/// Sums (x - pivot) and its square over pixels that are `channels` values apart, for kLanes neighbouring channels.
void sum_lanes(const float* x, int64_t pixels, int64_t channels, const float* pivot, float* sum_out, float* square_out);
void sum_lanes(const uint16_t* x, int64_t pixels, int64_t channels, const float* pivot, float* sum_out, float* square_out);

/// A row of pixels out of a row of groups of four, of which the left pixel of two is the first of a group and the right one the
/// second of the next group.
void place_pixels(const char* __restrict groups, int64_t pixel_bytes, int64_t columns, char* __restrict out);

}  // namespace ditscope::vae
