#pragma once
#include <ATen/core/Tensor.h>

#include <cstdint>
#include <utility>

#include "core/attention/layer_call.h"

namespace ditscope {

/// Sincos table of a (frames, rows, columns) grid: a quarter of the channels for time, then 3/8 for the column, then 3/8 for the
/// row, each [sin|cos]; computed in float64.
/// @see diffusers `get_3d_sincos_pos_embed`
at::Tensor sincos_positions(std::int64_t width, std::int64_t frames, std::int64_t rows, std::int64_t columns,
                            double spatial_scale,
                            double temporal_scale);  // (F*Y*X,C) float64, frame-major

/// Where the frames, rows and columns of a grid lie on the axes of the rotary angles.
struct RotaryGrid {
  at::Tensor frames, rows, columns;  // (F) (Y) (X) float32
};
/// CogVideoX 1.0: the grid is stretched over the part of the base grid that has its aspect ratio, centred.
RotaryGrid rotary_grid_linspace(std::int64_t frames, std::int64_t rows, std::int64_t columns, std::int64_t base_rows,
                                std::int64_t base_columns);
/// CogVideoX 1.5: whole numbers from zero.
RotaryGrid rotary_grid_slice(std::int64_t frames, std::int64_t rows, std::int64_t columns);

/// exp(i angle) of every token, with a quarter of the head's pairs turning by time and 3/8 each by row and column (theta 10000).
/// Text tokens, `text_tokens` rows in front, do not turn.
at::Tensor rotary_table(std::int64_t head_dim, const RotaryGrid& grid, std::int64_t text_tokens,
                        TokenOrder order);  // (T,D/2) complex64

/// Turns the pairs (2i, 2i+1) of the last dimension; float32 inside, whatever the dtype.
at::Tensor rotate_pairs(const at::Tensor& x, const at::Tensor& table);  // (B,H,T,D) contiguous

/// Reorders the tokens of (B,F*S,C) between the two orders of a layout; frame-major tensors pass unchanged.
at::Tensor from_frame_major(const at::Tensor& x, const TokenLayout& layout);  // (B,F*S,C)
at::Tensor to_frame_major(const at::Tensor& x, const TokenLayout& layout);    // (B,F*S,C)

}  // namespace ditscope
