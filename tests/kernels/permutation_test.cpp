#include "kernels/permutation.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <numeric>
#include <set>

#include "kernels/error.h"
#include "tests/kernels/attention_case.h"

namespace ditscope {
namespace {

std::array<std::int64_t, 3> place_of(const TokenGrid& grid, std::int64_t token) {
  return {token / (grid.rows * grid.columns), token / grid.columns % grid.rows, token % grid.columns};
}

/// The largest step along any axis between neighbours of the order, and how many steps are longer than 1 in sum (diagonal).
std::pair<std::int64_t, int> steps_of(const TokenGrid& grid, const Permutation& order) {
  std::int64_t longest = 0;
  int diagonal = 0;
  for (std::size_t p = 1; p < order.size(); ++p) {
    const auto a = place_of(grid, order[p - 1]), b = place_of(grid, order[p]);
    std::int64_t sum = 0;
    for (int i = 0; i < 3; ++i) {
      longest = std::max(longest, std::abs(a[i] - b[i]));
      sum += std::abs(a[i] - b[i]);
    }
    diagonal += sum > 1;
  }
  return {longest, diagonal};
}

void expect_permutation(const Permutation& order, std::int64_t tokens) {
  ASSERT_EQ(static_cast<std::int64_t>(order.size()), tokens);
  const Permutation back = inverse(order);  // throws if a token is missing
  for (std::size_t i = 0; i < order.size(); ++i) ASSERT_EQ(back[static_cast<std::size_t>(order[i])], static_cast<int>(i));
}

TEST(Permutation, PositionMajorPutsTheFramesOfASiteSideBySide) {
  EXPECT_EQ(position_major_order({2, 2, 2}), (Permutation{0, 4, 1, 5, 2, 6, 3, 7}));
}

TEST(Permutation, AxisOrdersAreTheSixTransposes) {
  const TokenGrid grid{3, 4, 5};
  AxisOrder axes = {GridAxis::Frames, GridAxis::Rows, GridAxis::Columns};
  std::set<Permutation> seen;
  do {
    const Permutation order = axis_order(grid, axes);
    expect_permutation(order, 60);
    seen.insert(order);
  } while (std::next_permutation(axes.begin(), axes.end()));
  EXPECT_EQ(seen.size(), 6u);
  Permutation identity(60);
  std::iota(identity.begin(), identity.end(), 0);
  EXPECT_EQ(axis_order(grid, {GridAxis::Frames, GridAxis::Rows, GridAxis::Columns}), identity);
  EXPECT_THROW(axis_order(grid, {GridAxis::Rows, GridAxis::Rows, GridAxis::Columns}), Error);
}

TEST(Permutation, TilesHoldTheirTokensAndSmallOnesStandAtTheEdges) {
  const TiledOrder order = tile_order({1, 3, 4}, {1, 2, 3});
  EXPECT_EQ(order.permutation, (Permutation{0, 1, 2, 4, 5, 6, 3, 7, 8, 9, 10, 11}));
  EXPECT_EQ(order.block_offsets, (std::vector<std::int64_t>{0, 6, 8, 11, 12}));
}

TEST(Permutation, TilesCanLeaveTheirRemainderToTheEnd) {
  const TiledOrder order = tile_order({1, 3, 4}, {1, 2, 3}, Remainder::Last);
  EXPECT_EQ(order.permutation, (Permutation{0, 1, 2, 4, 5, 6, 3, 7, 8, 9, 10, 11}));
  EXPECT_EQ(order.block_offsets, (std::vector<std::int64_t>{0, 6, 12}));
  for (const Remainder remainder : {Remainder::SmallTiles, Remainder::Last}) {
    const TiledOrder large = tile_order({7, 30, 45}, {2, 8, 8}, remainder);
    expect_permutation(large.permutation, 7 * 30 * 45);
    EXPECT_EQ(large.block_offsets.back(), 7 * 30 * 45);
  }
  EXPECT_EQ(tile_order({30, 48, 80}, {6, 8, 8}).block_offsets.size(), 5u * 6 * 10 + 1);  // Sliding Tile Attention's canvas
}

TEST(Permutation, TheHilbertCurveOfASquareIsHilberts) {
  // x, y of Hilbert's curve of 4 x 4, starting along x.
  const std::vector<std::pair<int, int>> hilbert = {{0, 0}, {0, 1}, {1, 1}, {1, 0}, {2, 0}, {3, 0}, {3, 1}, {2, 1},
                                                    {2, 2}, {3, 2}, {3, 3}, {2, 3}, {1, 3}, {1, 2}, {0, 2}, {0, 3}};
  const Permutation order = hilbert_order({1, 4, 4}, {GridAxis::Columns, GridAxis::Rows, GridAxis::Frames});
  const Permutation other = hilbert_order({1, 4, 4}, {GridAxis::Rows, GridAxis::Columns, GridAxis::Frames});
  Permutation expected;
  for (const auto& [x, y] : hilbert) expected.push_back(y * 4 + x);
  EXPECT_TRUE(order == expected || other == expected);
}

TEST(Permutation, TheHilbertCurveVisitsNeighboursInEverySize) {
  for (const TokenGrid grid : {TokenGrid{8, 8, 8}, {4, 6, 10}, {1, 30, 46}, {12, 30, 44}, {2, 2, 2}, {1, 1, 9}, {16, 2, 2}}) {
    const Permutation order = hilbert_order(grid);
    expect_permutation(order, grid.tokens());
    const auto [longest, diagonal] = steps_of(grid, order);
    EXPECT_LE(longest, 1) << grid.frames << "x" << grid.rows << "x" << grid.columns;
    EXPECT_EQ(diagonal, 0) << grid.frames << "x" << grid.rows << "x" << grid.columns;
  }
  for (const TokenGrid grid : {TokenGrid{13, 30, 45}, {21, 45, 80}, {3, 5, 7}, {1, 1, 1}, {5, 1, 3}, {1, 31, 17}}) {
    const Permutation order = hilbert_order(grid);
    expect_permutation(order, grid.tokens());
    const auto [longest, diagonal] = steps_of(grid, order);
    EXPECT_LE(longest, 2);
    EXPECT_LE(diagonal, static_cast<int>(grid.tokens() / 20 + 2)) << "odd sizes cost few diagonal steps";
  }
  EXPECT_TRUE(hilbert_order({0, 4, 4}).empty());
}

TEST(Permutation, TheCurveIsTheOneThatRectifiedSpaAttnRuns) {
  // Wan 2.1, 81 frames of 720p: what its authors' first 28 curve blocks of 128 tokens hold.
  const TokenGrid grid{21, 45, 80};
  const Permutation order = hilbert_order(grid);
  std::array<std::int64_t, 3> most{};
  int of_frame_0 = 0;
  std::set<std::size_t> blocks_of_frame_0;
  for (std::size_t p = 0; p < order.size(); ++p) {
    const auto place = place_of(grid, order[p]);
    if (place[0] == 0) blocks_of_frame_0.insert(p / 128);
    if (p >= 28 * 128) continue;
    for (int i = 0; i < 3; ++i) most[i] = std::max(most[i], place[i]);
    of_frame_0 += place[0] == 0;
  }
  EXPECT_EQ(most[0], 20);
  EXPECT_LT(most[1], 12);
  EXPECT_LT(most[2], 20);
  EXPECT_EQ(of_frame_0, 120);
  EXPECT_EQ(blocks_of_frame_0.size(), 145u);
}

TEST(Permutation, ComposesInvertsAndLeavesTextInPlace) {
  const Permutation a = position_major_order({2, 3, 4}), b = hilbert_order({4, 3, 2});
  const Permutation both = compose(a, b);
  for (std::size_t i = 0; i < both.size(); ++i) EXPECT_EQ(both[i], a[static_cast<std::size_t>(b[i])]);
  Permutation identity(24);
  std::iota(identity.begin(), identity.end(), 0);
  EXPECT_EQ(compose(a, inverse(a)), identity);
  EXPECT_EQ(beside_text({1, 0}, 2, true), (Permutation{0, 1, 3, 2}));
  EXPECT_EQ(beside_text({1, 0}, 2, false), (Permutation{1, 0, 2, 3}));
  EXPECT_EQ(beside_text({1, 0}, 0, false), (Permutation{1, 0}));
  EXPECT_THROW(inverse({0, 0}), Error);
  EXPECT_THROW(inverse({0, 2}), Error);
  EXPECT_THROW(compose(a, {0}), Error);
}

template <typename Element>
void check_gather(bool token_major, int channel_step, bool per_head) {
  const int heads = 3, tokens = 300, width = 9;
  std::mt19937 random(2);
  test::Array<Element> in(heads, tokens, width, token_major, channel_step), out(heads, tokens, width), back(heads, tokens, width);
  in.fill_normal(random, 1);
  std::vector<std::int32_t> orders;
  for (int h = 0; h < (per_head ? heads : 1); ++h) {
    Permutation order = beside_text(position_major_order({2, 5, 29}), 10, true);
    std::shuffle(order.begin(), order.end(), random);
    orders.insert(orders.end(), order.begin(), order.end());
  }
  const HostView<const std::int32_t, 2> source = {orders.data(), {heads, tokens}, {per_head ? tokens : 0, 1}};
  gather_tokens<Element>(in.const_view(), source, out.view(), test::threads(2));
  scatter_tokens<Element>(out.const_view(), source, back.view());
  for (int h = 0; h < heads; ++h)
    for (int p = 0; p < tokens; ++p)
      for (int c = 0; c < width; ++c) {
        ASSERT_EQ(out.at(h, p, c), in.at(h, orders[static_cast<std::size_t>((per_head ? h : 0) * tokens + p)], c));
        ASSERT_EQ(back.at(h, p, c), in.at(h, p, c));
      }
}

TEST(Permutation, GathersTokensAndScattersThemBack) {
  for (const bool per_head : {false, true}) {
    check_gather<float>(false, 1, per_head);
    check_gather<float>(true, 2, per_head);
    check_gather<Bfloat16Bits>(true, 1, per_head);
  }
}

TEST(Permutation, RefusesTokensThatDoNotExist) {
  test::Array<float> in(1, 4, 2), out(1, 4, 2);
  const Permutation wrong = {0, 1, 2, 4};
  try {
    gather_tokens<float>(in.const_view(), shared_by_heads(wrong, 1), out.view());
    FAIL() << "expected a refusal";
  } catch (const Error& error) {
    EXPECT_NE(std::string(error.what()).find("expected token numbers 0..3, got 4"), std::string::npos);
  }
}

}  // namespace
}  // namespace ditscope
