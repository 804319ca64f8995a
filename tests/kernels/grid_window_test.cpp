#include "kernels/grid_window.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <string>
#include <vector>

#include "kernels/error.h"

namespace ditscope {
namespace {

constexpr GridAxis kFrames = GridAxis::Frames, kRows = GridAxis::Rows, kColumns = GridAxis::Columns;

bool sees(std::int64_t from, std::int64_t to, std::int64_t size, std::int64_t reach, WindowEdge edge) {
  if (edge == WindowEdge::Cut) return std::abs(from - to) <= reach;
  const std::int64_t middle = std::clamp(from, std::min(reach, size - 1 - reach), std::max(reach, size - 1 - reach));
  return 2 * reach + 1 >= size || std::abs(middle - to) <= reach;
}

/// What a window keeps, pair by pair, from the places of raster tokens.
bool keeps(const TokenGrid& grid, const GridWindow& w, std::int64_t a, std::int64_t b) {
  const std::int64_t sites = grid.rows * grid.columns;
  return sees(a / sites, b / sites, grid.frames, w.frames, w.edge) &&
         sees(a / grid.columns % grid.rows, b / grid.columns % grid.rows, grid.rows, w.rows, w.edge) &&
         sees(a % grid.columns, b % grid.columns, grid.columns, w.columns, w.edge);
}

void expect_same(const TokenGrid& grid, const GridWindow& window, const AxisOrder& axes, std::int64_t text, bool text_first) {
  const BlockMask mask(grid_window(grid, window, axes, text, text_first));
  const Permutation order = axis_order(grid, axes);  // the raster token at each place
  const std::int64_t tokens = grid.tokens(), first = text_first ? text : 0, all = tokens + text;
  ASSERT_EQ(mask.queries(), all);
  for (std::int64_t i = 0; i < all; ++i)
    for (std::int64_t j = 0; j < all; ++j) {
      const bool visual = i >= first && i < first + tokens && j >= first && j < first + tokens;
      const bool expected =
          !visual || keeps(grid, window, order[static_cast<std::size_t>(i - first)], order[static_cast<std::size_t>(j - first)]);
      ASSERT_EQ(mask.keeps(0, i, j), expected) << i << " " << j << " of " << tokens << " + " << text;
    }
}

TEST(GridWindow, KeepsTheBoxAroundEveryQueryInEveryOrder) {
  const AxisOrder orders[] = {{kFrames, kRows, kColumns}, {kRows, kColumns, kFrames}, {kColumns, kFrames, kRows},
                              {kFrames, kColumns, kRows}, {kRows, kFrames, kColumns}, {kColumns, kRows, kFrames}};
  int round = 0;
  for (const TokenGrid& grid : {TokenGrid{3, 5, 7}, {1, 9, 12}, {6, 1, 11}, {4, 4, 1}, {1, 1, 1}, {2, 8, 9}}) {
    for (const GridWindow& window : {GridWindow{1, 1, 2}, {0, 0, 0}, {2, 0, 3}, {9, 2, 9}, {0, 9, 1}, {9, 9, 9}}) {
      for (const WindowEdge edge : {WindowEdge::Cut, WindowEdge::Shifted}) {
        GridWindow one = window;
        one.edge = edge;
        expect_same(grid, one, orders[round % 6], round % 4 * 5, round % 3 != 0);
        ++round;
      }
    }
  }
}

TEST(GridWindow, AShiftedWindowShowsEveryQueryAsMany) {
  const MaskDescription d = grid_window({5, 7, 9}, {1, 2, 3, WindowEdge::Shifted});
  const BlockMask mask(d);
  for (std::int64_t i = 0; i < 5 * 7 * 9; ++i) {
    std::int64_t seen = 0;
    for (std::int64_t j = 0; j < 5 * 7 * 9; ++j) seen += mask.keeps(0, i, j);
    ASSERT_EQ(seen, 3 * 5 * 7);
  }
}

TEST(GridWindow, LinesThatMeetAreOneSpan) {
  EXPECT_EQ(grid_window({4, 6, 8}, {1, 2, 3}).spans_per_row, 3 * 5);
  EXPECT_EQ(grid_window({4, 6, 8}, {1, 2, 8}).spans_per_row, 3) << "whole lines: one span a frame";
  EXPECT_EQ(grid_window({4, 6, 8}, {1, 6, 8}).spans_per_row, 1) << "whole frames";
  // Whole columns of frames, as a window in every frame has them: position-major makes it one span a line.
  EXPECT_EQ(grid_window({4, 6, 8}, {4, 1, 2}, {kRows, kColumns, kFrames}).spans_per_row, 3);
  EXPECT_EQ(grid_window({4, 6, 8}, {4, 1, 2}).spans_per_row, 4 * 3);
}

TEST(GridWindow, SaysWhatItExpected) {
  const auto refusal = [](const TokenGrid& grid, const GridWindow& window, const AxisOrder& axes,
                          std::int64_t text) -> std::string {
    try {
      grid_window(grid, window, axes, text);
    } catch (const Error& error) {
      return error.what();
    }
    return "";
  };
  const AxisOrder raster{kFrames, kRows, kColumns};
  EXPECT_NE(refusal({2, 2, 2}, {0, -1, 0}, raster, 0).find("0 or more to each side, got (0,-1,0)"), std::string::npos);
  EXPECT_NE(refusal({2, -2, 2}, {}, raster, 0).find("got (2,-2,2)"), std::string::npos);
  EXPECT_NE(refusal({1000000, 1000000, 2}, {}, raster, 0).find("fewer than 2^31"), std::string::npos);
  EXPECT_NE(refusal({2, 2, 2}, {}, {kRows, kRows, kColumns}, 0).find("an axis twice"), std::string::npos);
}

}  // namespace
}  // namespace ditscope
