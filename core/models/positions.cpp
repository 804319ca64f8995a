#include "core/models/positions.h"

#include <ATen/ATen.h>

#include <cmath>

#include "core/models/layers.h"

namespace ditscope {
namespace {

constexpr double kTheta = 10000.0;

at::Tensor sincos(std::int64_t width, const at::Tensor& position) {
  const at::Tensor index = at::arange(width / 2, at::kDouble) / (width / 2.0);
  const at::Tensor angle = at::outer(position.to(at::kDouble), 1.0 / at::pow(10000.0, index));
  return at::cat({angle.sin(), angle.cos()}, 1);  // (N,width)
}

at::Tensor angles(std::int64_t width, const at::Tensor& position) {
  const at::Tensor index = at::arange(0, width, 2, at::kFloat) / static_cast<double>(width);
  return at::outer(position, 1.0 / at::pow(kTheta, index));  // (N,width/2)
}

std::int64_t round_half_even(double value) {
  return static_cast<std::int64_t>(std::nearbyint(value));
}

at::Tensor stretch(std::int64_t begin, std::int64_t end, std::int64_t count) {
  return at::linspace(static_cast<double>(begin), static_cast<double>(end * (count - 1)) / static_cast<double>(count), count,
                      at::kFloat);
}

}  // namespace

at::Tensor sincos_positions(std::int64_t width, std::int64_t frames, std::int64_t rows, std::int64_t columns,
                            double spatial_scale, double temporal_scale) {
  const std::int64_t axis = 3 * width / 4 / 2;
  const at::Tensor x = sincos(axis, at::arange(columns, at::kFloat) / spatial_scale);
  const at::Tensor y = sincos(axis, at::arange(rows, at::kFloat) / spatial_scale);
  const at::Tensor t = sincos(width / 4, at::arange(frames, at::kFloat) / temporal_scale);
  const at::Tensor table = at::cat(
      {t.view({frames, 1, 1, -1}).expand({-1, rows, columns, -1}), x.view({1, 1, columns, -1}).expand({frames, rows, -1, -1}),
       y.view({1, rows, 1, -1}).expand({frames, -1, columns, -1})},
      -1);  // (F,Y,X,C)
  return table.view({frames * rows * columns, width});
}

RotaryGrid rotary_grid_linspace(std::int64_t frames, std::int64_t rows, std::int64_t columns, std::int64_t base_rows,
                                std::int64_t base_columns) {
  const double ratio = static_cast<double>(rows) / static_cast<double>(columns);
  std::int64_t height = base_rows, width = base_columns;
  if (ratio > static_cast<double>(base_rows) / static_cast<double>(base_columns)) {
    width = round_half_even(static_cast<double>(base_rows) / static_cast<double>(rows) * static_cast<double>(columns));
  } else {
    height = round_half_even(static_cast<double>(base_columns) / static_cast<double>(columns) * static_cast<double>(rows));
  }
  const std::int64_t top = round_half_even(static_cast<double>(base_rows - height) / 2.0);
  const std::int64_t left = round_half_even(static_cast<double>(base_columns - width) / 2.0);
  return {stretch(0, frames, frames), stretch(top, top + height, rows), stretch(left, left + width, columns)};
}

RotaryGrid rotary_grid_slice(std::int64_t frames, std::int64_t rows, std::int64_t columns) {
  return {at::arange(frames, at::kFloat), at::arange(rows, at::kFloat), at::arange(columns, at::kFloat)};
}

at::Tensor rotary_table(std::int64_t head_dim, const RotaryGrid& grid, std::int64_t text_tokens, TokenOrder order) {
  const std::int64_t frames = grid.frames.size(0), rows = grid.rows.size(0), columns = grid.columns.size(0);
  const std::int64_t space = head_dim / 8 * 3;
  const at::Tensor t = angles(head_dim / 4, grid.frames), y = angles(space, grid.rows), x = angles(space, grid.columns);
  at::Tensor angle = at::cat(
      {t.view({frames, 1, 1, -1}).expand({-1, rows, columns, -1}), y.view({1, rows, 1, -1}).expand({frames, -1, columns, -1}),
       x.view({1, 1, columns, -1}).expand({frames, rows, -1, -1})},
      -1);  // (F,Y,X,D/2)
  if (order == TokenOrder::PositionMajor) angle = angle.permute({1, 2, 0, 3});
  angle = at::cat({at::zeros({text_tokens, head_dim / 2}), angle.reshape({frames * rows * columns, head_dim / 2})});
  return at::complex(angle.cos(), angle.sin());  // (T,D/2)
}

at::Tensor rotate_pairs(const at::Tensor& x, const at::Tensor& table) {
  const at::Tensor pairs = at::view_as_complex(x.to(at::kFloat).unflatten(-1, {-1, 2}));  // (B,H,T,D/2)
  if (!may_work_in_place()) return at::view_as_real(pairs * table).flatten(3).to(x.scalar_type());
  at::Tensor out = at::empty(pairs.sizes(), pairs.options());
  at::mul_out(out, pairs, table);
  return at::view_as_real(out).flatten(3).to(x.scalar_type());  // (B,H,T,D)
}

at::Tensor from_frame_major(const at::Tensor& x, const TokenLayout& layout) {
  if (layout.order == TokenOrder::FrameMajor) return x;
  return x.unflatten(1, {layout.frames, layout.sites()}).transpose(1, 2).flatten(1, 2);  // (B,S*F,C)
}

at::Tensor to_frame_major(const at::Tensor& x, const TokenLayout& layout) {
  if (layout.order == TokenOrder::FrameMajor) return x;
  return x.unflatten(1, {layout.sites(), layout.frames}).transpose(1, 2).flatten(1, 2);  // (B,F*S,C)
}

}  // namespace ditscope
