#include "kernels/permutation.h"

#include <algorithm>
#include <limits>

#include "kernels/expect.h"

namespace ditscope {
namespace {

void expect_grid(const char* name, const TokenGrid& grid, std::int64_t least) {
  const bool good = grid.frames >= least && grid.rows >= least && grid.columns >= least &&
                    grid.tokens() <= std::numeric_limits<std::int32_t>::max();
  expect(good, std::string("expected ") + name + " of at least " + std::to_string(least) + " a side and below 2^31 tokens, got " +
                   shape_text<3>({grid.frames, grid.rows, grid.columns}) + "; check its sizes");
}

void expect_axes(const AxisOrder& axes) {
  expect(axes[0] != axes[1] && axes[1] != axes[2] && axes[0] != axes[2],
         "expected frames, rows and columns once each, got an axis twice; name all three");
}

std::int64_t size_of(const TokenGrid& grid, GridAxis axis) {
  return axis == GridAxis::Frames ? grid.frames : axis == GridAxis::Rows ? grid.rows : grid.columns;
}

std::int64_t stride_of(const TokenGrid& grid, GridAxis axis) {
  return axis == GridAxis::Frames ? grid.rows * grid.columns : axis == GridAxis::Rows ? grid.columns : 1;
}

/// A step or an extent along the three axes of a curve.
struct Step {
  std::array<std::int64_t, 3> along{};

  Step operator+(const Step& o) const { return {{along[0] + o.along[0], along[1] + o.along[1], along[2] + o.along[2]}}; }
  Step operator-(const Step& o) const { return {{along[0] - o.along[0], along[1] - o.along[1], along[2] - o.along[2]}}; }
  Step operator-() const { return Step{} - *this; }
  std::int64_t length() const { return std::abs(along[0] + along[1] + along[2]); }  // only one part is not 0
  Step unit() const {
    Step step;
    for (int i = 0; i < 3; ++i) step.along[i] = (along[i] > 0) - (along[i] < 0);
    return step;
  }
  /// Half of it, rounded down, made even where that leaves something on both sides: odd parts cost diagonal steps.
  Step half() const {
    Step step;
    for (int i = 0; i < 3; ++i) step.along[i] = along[i] >= 0 ? along[i] / 2 : -((1 - along[i]) / 2);
    return step.length() % 2 != 0 && length() > 2 ? step + unit() : step;
  }
};

/// Walks a box of extents a, b, c from the corner `at`, and leaves it at the far end of a. Each case below cuts the box into
/// boxes whose ends meet.
class CurveWalk {
 public:
  CurveWalk(const std::array<std::int64_t, 3>& strides, Permutation& to) : strides_(strides), to_(to) {}

  void walk(const Step& at, const Step& a, const Step& b, const Step& c) {
    const std::int64_t w = a.length(), h = b.length(), d = c.length();
    if (h == 1 && d == 1) return line(at, a.unit(), w);
    if (w == 1 && d == 1) return line(at, b.unit(), h);
    if (w == 1 && h == 1) return line(at, c.unit(), d);
    const Step da = a.unit(), db = b.unit(), dc = c.unit(), a2 = a.half(), b2 = b.half(), c2 = c.half();
    if (2 * w > 3 * h && 2 * w > 3 * d) {  // long: two boxes in a row
      walk(at, a2, b, c);
      walk(at + a2, a - a2, b, c);
    } else if (3 * h > 4 * d) {  // flat: up, across, down along b
      walk(at, b2, c, a2);
      walk(at + b2, a, b - b2, c);
      walk(at + (a - da) + (b2 - db), -b2, c, -(a - a2));
    } else if (3 * d > 4 * h) {  // the same along c
      walk(at, c2, a2, b);
      walk(at + c2, a, b, c - c2);
      walk(at + (a - da) + (c2 - dc), -c2, -(a - a2), b);
    } else {  // a cube, nearly
      walk(at, b2, c2, a2);
      walk(at + b2, c, a2, b - b2);
      walk(at + (b2 - db) + (c - dc), a, -b2, -(c - c2));
      walk(at + (a - da) + b2 + (c - dc), -c, -(a - a2), b - b2);
      walk(at + (a - da) + (b2 - db), -b2, c2, -(a - a2));
    }
  }

 private:
  void line(Step at, const Step& step, std::int64_t count) {
    for (std::int64_t i = 0; i < count; ++i, at = at + step) {
      to_.push_back(static_cast<std::int32_t>(at.along[0] * strides_[0] + at.along[1] * strides_[1] + at.along[2] * strides_[2]));
    }
  }

  std::array<std::int64_t, 3> strides_;
  Permutation& to_;
};

}  // namespace

Permutation axis_order(const TokenGrid& grid, const AxisOrder& axes) {
  expect_grid("a grid", grid, 0);
  expect_axes(axes);
  Permutation order;
  order.reserve(static_cast<std::size_t>(grid.tokens()));
  for (std::int64_t i = 0; i < size_of(grid, axes[0]); ++i)
    for (std::int64_t j = 0; j < size_of(grid, axes[1]); ++j)
      for (std::int64_t k = 0; k < size_of(grid, axes[2]); ++k)
        order.push_back(static_cast<std::int32_t>(i * stride_of(grid, axes[0]) + j * stride_of(grid, axes[1]) +
                                                  k * stride_of(grid, axes[2])));
  return order;
}

Permutation position_major_order(const TokenGrid& grid) {
  return axis_order(grid, {GridAxis::Rows, GridAxis::Columns, GridAxis::Frames});
}

TiledOrder tile_order(const TokenGrid& grid, const TokenGrid& tile, Remainder remainder) {
  expect_grid("a grid", grid, 0);
  expect_grid("a tile", tile, 1);
  TiledOrder order;
  order.block_offsets.push_back(0);
  const auto close = [&] {
    const auto places = static_cast<std::int64_t>(order.permutation.size());
    if (places > order.block_offsets.back()) order.block_offsets.push_back(places);
  };
  const bool whole_only = remainder == Remainder::Last;
  const auto begins = [&](std::int64_t size, std::int64_t side) { return whole_only ? size / side * side : size; };
  const TokenGrid tiled{begins(grid.frames, tile.frames), begins(grid.rows, tile.rows), begins(grid.columns, tile.columns)};
  const auto token = [&](std::int64_t f, std::int64_t y, std::int64_t x) {
    order.permutation.push_back(static_cast<std::int32_t>((f * grid.rows + y) * grid.columns + x));
  };
  for (std::int64_t f0 = 0; f0 < tiled.frames; f0 += tile.frames)
    for (std::int64_t y0 = 0; y0 < tiled.rows; y0 += tile.rows)
      for (std::int64_t x0 = 0; x0 < tiled.columns; x0 += tile.columns, close())
        for (std::int64_t f = f0; f < std::min(f0 + tile.frames, tiled.frames); ++f)
          for (std::int64_t y = y0; y < std::min(y0 + tile.rows, tiled.rows); ++y)
            for (std::int64_t x = x0; x < std::min(x0 + tile.columns, tiled.columns); ++x) token(f, y, x);
  for (std::int64_t f = 0; f < grid.frames && whole_only; ++f)
    for (std::int64_t y = 0; y < grid.rows; ++y)
      for (std::int64_t x = 0; x < grid.columns; ++x) {
        if (f >= tiled.frames || y >= tiled.rows || x >= tiled.columns) token(f, y, x);
      }
  close();
  return order;
}

Permutation hilbert_order(const TokenGrid& grid, const AxisOrder& axes) {
  expect_grid("a grid", grid, 0);
  expect_axes(axes);
  Permutation order;
  if (grid.tokens() == 0) return order;
  order.reserve(static_cast<std::size_t>(grid.tokens()));
  CurveWalk curve({stride_of(grid, axes[0]), stride_of(grid, axes[1]), stride_of(grid, axes[2])}, order);
  curve.walk({}, {{size_of(grid, axes[0]), 0, 0}}, {{0, size_of(grid, axes[1]), 0}}, {{0, 0, size_of(grid, axes[2])}});
  return order;
}

Permutation inverse(const Permutation& permutation) {
  Permutation result(permutation.size(), -1);
  for (std::size_t place = 0; place < permutation.size(); ++place) {
    const std::int32_t token = permutation[place];
    const bool good =
        token >= 0 && token < static_cast<std::int64_t>(permutation.size()) && result[static_cast<std::size_t>(token)] < 0;
    expect(good, "expected each of " + std::to_string(permutation.size()) + " tokens once, got " + std::to_string(token) +
                     " at place " + std::to_string(place) + "; pass a permutation");
    result[static_cast<std::size_t>(token)] = static_cast<std::int32_t>(place);
  }
  return result;
}

Permutation compose(const Permutation& first, const Permutation& second) {
  expect(first.size() == second.size(), "expected two orders of as many tokens, got " + std::to_string(first.size()) + " and " +
                                            std::to_string(second.size()) + "; make them for one sequence");
  Permutation result;
  for (const std::int32_t place : second) {
    expect(place >= 0 && place < static_cast<std::int64_t>(first.size()),
           "expected places below " + std::to_string(first.size()) + ", got " + std::to_string(place) + "; pass a permutation");
    result.push_back(first[static_cast<std::size_t>(place)]);
  }
  return result;
}

Permutation beside_text(const Permutation& visual, std::int64_t text_tokens, bool text_first) {
  expect(text_tokens >= 0, "expected 0 or more text tokens, got " + std::to_string(text_tokens) + "; check the layout");
  const auto visual_tokens = static_cast<std::int64_t>(visual.size());
  const std::int64_t visual_begin = text_first ? text_tokens : 0, text_begin = text_first ? 0 : visual_tokens;
  Permutation result(static_cast<std::size_t>(visual_tokens + text_tokens));
  for (std::int64_t t = 0; t < text_tokens; ++t)
    result[static_cast<std::size_t>(text_begin + t)] = static_cast<std::int32_t>(text_begin + t);
  for (std::int64_t p = 0; p < visual_tokens; ++p)
    result[static_cast<std::size_t>(visual_begin + p)] =
        static_cast<std::int32_t>(visual_begin + visual[static_cast<std::size_t>(p)]);
  return result;
}

}  // namespace ditscope
