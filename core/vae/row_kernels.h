#pragma once
#include <cstdint>

/// The inner loops of norm_silu, over one row of pixels.
namespace ditscope::vae {

constexpr int64_t kLanes = 16;  ///< channels whose sums stay in registers

/// out[i] = silu(x[i] * gain[i] + offset[i])
void modulate_silu_row(const float* __restrict x, const float* __restrict gain, const float* __restrict offset,
                       float* __restrict out, int64_t count);

/// Sums (x - pivot) and its square over pixels that are `channels` values apart, for kLanes neighbouring channels.
void sum_lanes(const float* __restrict x, int64_t pixels, int64_t channels, const float* __restrict pivot,
               float* __restrict sum_out, float* __restrict square_out);

/// A row of pixels out of a row of groups of four, of which the left pixel of two is the first of a group and the right one the
/// second of the next group.
void place_pixels(const char* __restrict groups, int64_t pixel_bytes, int64_t columns, char* __restrict out);

/// bfloat16 to float32.
void widen_row(const uint16_t* __restrict x, float* __restrict out, int64_t count);

/// float32 to bfloat16, to nearest, ties to even.
void narrow_row(const float* __restrict x, uint16_t* __restrict out, int64_t count);

}  // namespace ditscope::vae
