#include "kernels/grid_window.h"

#include <algorithm>
#include <array>
#include <limits>
#include <vector>

#include "kernels/expect.h"

namespace ditscope {
namespace {

/// One axis of the grid, in the order in which tokens run.
struct Axis {
  std::int64_t size = 1, reach = 0;
};

struct Range {
  std::int64_t begin, end;
};

Range seen_from(std::int64_t place, const Axis& axis, WindowEdge edge) {
  if (edge == WindowEdge::Cut)
    return {std::max<std::int64_t>(place - axis.reach, 0), std::min(place + axis.reach + 1, axis.size)};
  const std::int64_t width = std::min(2 * axis.reach + 1, axis.size);
  const std::int64_t begin = std::clamp<std::int64_t>(place - axis.reach, 0, axis.size - width);
  return {begin, begin + width};
}

Axis axis_of(const TokenGrid& grid, const GridWindow& window, GridAxis axis) {
  switch (axis) {
    case GridAxis::Frames:
      return {grid.frames, std::min(window.frames, grid.frames)};
    case GridAxis::Rows:
      return {grid.rows, std::min(window.rows, grid.rows)};
    default:
      return {grid.columns, std::min(window.columns, grid.columns)};
  }
}

/// The lines of the box a x b x c as spans of tokens, the first token being `first`; spans that meet are one.
void append_lines(const std::array<Axis, 3>& axes, const Range& a, const Range& b, const Range& c, std::int64_t first,
                  std::vector<TokenSpan>& spans) {
  for (std::int64_t i = a.begin; i < a.end; ++i)
    for (std::int64_t j = b.begin; j < b.end; ++j) {
      const std::int64_t line = first + (i * axes[1].size + j) * axes[2].size;
      const auto begin = static_cast<std::int32_t>(line + c.begin), end = static_cast<std::int32_t>(line + c.end);
      if (!spans.empty() && spans.back().end == begin)
        spans.back().end = end;
      else
        spans.push_back({begin, end});
    }
}

}  // namespace

MaskDescription grid_window(const TokenGrid& grid, const GridWindow& window, const AxisOrder& order, std::int64_t text_tokens,
                            bool text_first) {
  expect(grid.frames >= 0 && grid.rows >= 0 && grid.columns >= 0 && text_tokens >= 0 &&
             grid.tokens() + text_tokens <= std::numeric_limits<std::int32_t>::max(),
         "expected a grid and text of fewer than 2^31 tokens, got " + shape_text<3>({grid.frames, grid.rows, grid.columns}) +
             " and " + std::to_string(text_tokens) + "; check their sizes");
  expect(window.frames >= 0 && window.rows >= 0 && window.columns >= 0,
         "expected a window of 0 or more to each side, got " + shape_text<3>({window.frames, window.rows, window.columns}) +
             "; check its reach");
  expect(order[0] != order[1] && order[1] != order[2] && order[0] != order[2],
         "expected frames, rows and columns once each, got an axis twice; name all three");
  std::array<Axis, 3> axes;
  for (std::size_t i = 0; i < 3; ++i) axes[i] = axis_of(grid, window, order[i]);

  MaskDescription d;
  d.queries = d.keys = grid.tokens() + text_tokens;
  const std::int64_t first = text_first ? text_tokens : 0, text = text_first ? 0 : grid.tokens();
  d.always = d.always_rows = {static_cast<std::int32_t>(text), static_cast<std::int32_t>(text + text_tokens)};

  const auto for_each_box = [&](const auto& use) {
    std::int64_t token = first;
    for (std::int64_t i = 0; i < axes[0].size; ++i)
      for (std::int64_t j = 0; j < axes[1].size; ++j)
        for (std::int64_t k = 0; k < axes[2].size; ++k)
          use(token++, seen_from(i, axes[0], window.edge), seen_from(j, axes[1], window.edge),
              seen_from(k, axes[2], window.edge));
  };
  std::vector<TokenSpan> spans;
  std::size_t most = 0;
  for_each_box([&](std::int64_t, const Range& a, const Range& b, const Range& c) {
    spans.clear();
    append_lines(axes, a, b, c, first, spans);
    most = std::max(most, spans.size());
  });
  d.spans_per_row = static_cast<int>(most);
  const auto none = static_cast<std::int32_t>(d.keys);
  d.spans.assign(static_cast<std::size_t>(d.queries) * most, TokenSpan{none, none});
  for_each_box([&](std::int64_t token, const Range& a, const Range& b, const Range& c) {
    spans.clear();
    append_lines(axes, a, b, c, first, spans);
    std::copy(spans.begin(), spans.end(), d.spans.begin() + static_cast<std::ptrdiff_t>(token * static_cast<std::int64_t>(most)));
  });
  return d;
}

}  // namespace ditscope
