#include "kernels/block_selection.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <random>

#include "kernels/error.h"
#include "kernels/reference/selection.h"
#include "tests/kernels/attention_case.h"

namespace ditscope {
namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();

/// Random scores (H,M,N) with a stride of 2 between blocks, many of them equal if `levels` > 0.
struct Scores {
  std::int64_t heads, rows, blocks;
  std::vector<float> storage;

  Scores(std::int64_t h, std::int64_t m, std::int64_t n, std::uint32_t seed, int levels = 0)
      : heads(h), rows(m), blocks(n), storage(static_cast<std::size_t>(h * m * n * 2)) {
    std::mt19937 random(seed);
    for (float& score : storage) {
      score = std::exp(std::normal_distribution<float>(0, 2)(random));
      if (levels > 0) score = static_cast<float>(random() % static_cast<std::uint32_t>(levels)) / 8;
    }
  }
  float& at(std::int64_t h, std::int64_t m, std::int64_t n) {
    return storage[static_cast<std::size_t>(((h * rows + m) * blocks + n) * 2)];
  }
  HostView<const float, 3> view() const { return {storage.data(), {heads, rows, blocks}, {rows * blocks * 2, blocks * 2, 2}}; }
  std::vector<double> row(std::int64_t h, std::int64_t m) {
    std::vector<double> result;
    for (std::int64_t n = 0; n < blocks; ++n) result.push_back(at(h, m, n));
    return result;
  }
};

std::vector<int> kept_of(const BlockSelection& selection, std::int64_t h, std::int64_t m) {
  std::vector<int> kept;
  for (std::int64_t n = 0; n < selection.key_blocks(); ++n) {
    if (selection.keeps(h, m, n)) kept.push_back(static_cast<int>(n));
  }
  return kept;
}

TEST(BlockSelection, TopKKeepsTheLargestOfEveryRow) {
  for (const std::int64_t blocks : {1, 7, 64, 65, 278, 900}) {
    for (const int levels : {0, 3}) {
      Scores scores(2, 5, blocks, 3, levels);
      for (std::int64_t m = 0; m < 5; ++m) scores.at(1, m, 0) = -scores.at(1, m, 0);
      for (const std::int64_t k :
           std::initializer_list<std::int64_t>{0, 1, 2, 5, 6, 7, blocks / 3, blocks - 1, blocks, blocks + 5}) {
        BlockSelection selection(2, 5, blocks);
        select_rows(scores.view(), {}, {RowRule::top_k(k)}, selection);
        for (std::int64_t h = 0; h < 2; ++h)
          for (std::int64_t m = 0; m < 5; ++m) {
            std::vector<int> expected = reference::largest(scores.row(h, m), k);
            std::sort(expected.begin(), expected.end());
            ASSERT_EQ(kept_of(selection, h, m), expected) << blocks << " blocks, k " << k;
            ASSERT_EQ(selection.count(h, m), static_cast<std::int64_t>(expected.size()));
          }
      }
    }
  }
}

TEST(BlockSelection, AnExtraScoreTakesAPlaceAfterItsEquals) {
  for (const std::int64_t blocks : {3, 63, 64, 65, 128, 200}) {
    Scores scores(1, 6, blocks, 11, 4);
    std::vector<float> extra;
    for (int m = 0; m < 6; ++m) extra.push_back(static_cast<float>(m % 5) / 8);  // of the scores' levels, or above them
    for (const std::int64_t k : std::initializer_list<std::int64_t>{1, 2, 7, blocks / 2, blocks - 1, blocks, blocks + 1}) {
      BlockSelection selection(1, 6, blocks);
      select_rows(scores.view(), {extra.data(), {1, 6}, {6, 1}}, {RowRule::top_k(k)}, selection);
      for (std::int64_t m = 0; m < 6; ++m) {
        std::vector<double> row = scores.row(0, m);
        row.push_back(extra[static_cast<std::size_t>(m)]);
        std::vector<int> expected = reference::largest(row, k);
        std::erase(expected, static_cast<int>(blocks));
        std::sort(expected.begin(), expected.end());
        ASSERT_EQ(kept_of(selection, 0, m), expected) << blocks << " blocks, k " << k << " row " << m;
      }
    }
  }
}

TEST(BlockSelection, TopPKeepsOrLeavesTheCrossingBlock) {
  for (const int levels : {0, 5}) {
    for (const double p : {0.0, 0.1, 0.3, 0.9, 0.98, 1.0}) {
      for (const Crossing crossing : {Crossing::Included, Crossing::Excluded}) {
        Scores scores(3, 4, 131, 7, levels);
        BlockSelection selection(3, 4, 131);
        select_rows(scores.view(), {}, {RowRule::top_p(p, crossing, 1)}, selection);
        for (std::int64_t h = 0; h < 3; ++h)
          for (std::int64_t m = 0; m < 4; ++m) {
            const std::vector<double> row = scores.row(h, m);
            const std::int64_t within = reference::leading_within(row, p) + (crossing == Crossing::Included);
            std::vector<int> expected = reference::largest(row, std::max<std::int64_t>(within, 1));
            std::sort(expected.begin(), expected.end());
            if (p == 1.0 && levels == 0) {  // whether the rounded sum of all is within the total is a matter of its order
              ASSERT_GE(selection.count(h, m), 130);
            } else {
              ASSERT_EQ(kept_of(selection, h, m), expected) << "p " << p << " levels " << levels;
            }
          }
      }
    }
  }
}

TEST(BlockSelection, TheRulesOfThePapersOnASmallRow) {
  std::vector<float> row = {0.05f, 0.4f, 0.3f, 0.2f, 0.05f};
  const HostView<const float, 3> view = {row.data(), {1, 1, 5}, {5, 5, 1}};
  const auto kept = [&](const RowRule& rule, const HostView<const float, 2>& extra = {}) {
    BlockSelection selection(1, 1, 5);
    select_rows(view, extra, {rule}, selection);
    return kept_of(selection, 0, 0);
  };
  EXPECT_EQ(kept(RowRule::top_p(0.75, Crossing::Excluded, 1)), (std::vector<int>{1, 2}));      // SpargeAttn
  EXPECT_EQ(kept(RowRule::top_p(0.75, Crossing::Included)), (std::vector<int>{1, 2, 3}));      // SVG2
  EXPECT_EQ(kept(RowRule::top_p(0.1, Crossing::Excluded, 1)), (std::vector<int>{1}));          // at least one
  EXPECT_EQ(kept(RowRule{2, 100, 0.3, Crossing::Included, false}), (std::vector<int>{1, 2}));  // Rectified: max(top_k, 1 + n)
  EXPECT_EQ(kept(RowRule{0, 1, 0.9, Crossing::Included, false}), (std::vector<int>{1}));       // at most
  EXPECT_EQ(kept(RowRule::top_k(4)), (std::vector<int>{0, 1, 2, 3}));
  EXPECT_EQ(kept(RowRule{4, 4, -1, Crossing::Included, true}), (std::vector<int>{0, 1, 2, 3, 4}));  // RainFusion 2 keeps ties
  const float text = 0.35f;
  EXPECT_EQ(kept(RowRule::top_k(2), {&text, {1, 1}, {1, 1}}), (std::vector<int>{1})) << "the text bucket takes a place";
  EXPECT_EQ(kept(RowRule::top_k(3), {&text, {1, 1}, {1, 1}}), (std::vector<int>{1, 2}));
  row[1] = -kInfinity;
  row[2] = NAN;
  EXPECT_EQ(kept(RowRule::top_k(5)), (std::vector<int>{0, 3, 4})) << "what is excluded stays so";
  row.assign(5, -kInfinity);
  EXPECT_TRUE(kept(RowRule::top_p(0.9, Crossing::Included, 1)).empty());
}

TEST(BlockSelection, RulesMayDifferByHeadAndAddToWhatIsThere) {
  Scores scores(3, 6, 40, 1);
  BlockSelection selection(3, 6, 40);
  selection.keep(1, 2, 39);
  select_rows(scores.view(), {}, {RowRule::top_k(2), RowRule::top_k(4), RowRule::top_k(0)}, selection);
  EXPECT_EQ(selection.count(0, 0), 2);
  EXPECT_EQ(selection.count(1, 1), 4);
  EXPECT_EQ(selection.count(2, 5), 0);
  EXPECT_TRUE(selection.keeps(1, 2, 39));
  BlockSelection threads(3, 6, 40);
  threads.keep(1, 2, 39);
  select_rows(scores.view(), {}, {RowRule::top_k(2), RowRule::top_k(4), RowRule::top_k(0)}, threads, test::threads(4));
  for (std::int64_t h = 0; h < 3; ++h)
    for (std::int64_t m = 0; m < 6; ++m) EXPECT_EQ(kept_of(selection, h, m), kept_of(threads, h, m));
}

TEST(BlockSelection, OneThresholdAHeadKeepsWhatReachesTheLargestSkippedScore) {
  for (const int levels : {0, 4}) {
    Scores scores(2, 9, 11, 5, levels);
    for (const std::int64_t skipped : {0, 1, 50, 98, 99}) {
      BlockSelection selection(2, 9, 11);
      select_global(scores.view(), {skipped}, selection);
      for (std::int64_t h = 0; h < 2; ++h) {
        std::vector<float> all;
        for (std::int64_t m = 0; m < 9; ++m)
          for (std::int64_t n = 0; n < 11; ++n) all.push_back(scores.at(h, m, n));
        std::sort(all.begin(), all.end());
        const float threshold = skipped == 0 ? -1.0f : all[static_cast<std::size_t>(skipped - 1)];
        for (std::int64_t m = 0; m < 9; ++m)
          for (std::int64_t n = 0; n < 11; ++n) ASSERT_EQ(selection.keeps(h, m, n), scores.at(h, m, n) >= threshold);
      }
    }
  }
  Scores scores(1, 3, 3, 5);
  BlockSelection selection(1, 3, 3);
  select_threshold(scores.view(), 1.0f, selection);
  for (std::int64_t m = 0; m < 3; ++m)
    for (std::int64_t n = 0; n < 3; ++n) EXPECT_EQ(selection.keeps(0, m, n), scores.at(0, m, n) >= 1);
}

TEST(BlockSelection, GridNeighboursAreAsManyAsThePaperCounts) {
  // Rectified SpaAttn, blocks of 128 along the curve over (columns, rows, frames): neighbours a row, mean.
  const auto mean = [](const TokenGrid& grid) {
    const BlockSelection selection = grid_neighbours(grid, hilbert_order(grid), 128);
    return selection.kept_ratio() * static_cast<double>(selection.key_blocks());
  };
  EXPECT_NEAR(mean({21, 45, 80}), 17.3, 0.06);  // Wan 2.1
  EXPECT_NEAR(mean({32, 45, 80}), 18.7, 0.06);  // HunyuanVideo
  EXPECT_NEAR(mean({1, 256, 256}), 8.1, 0.06);  // Flux
  EXPECT_NEAR(mean({11, 48, 80}), 14.6, 0.06);  // CogVideoX 1.5
}

TEST(BlockSelection, GridNeighboursAreThoseOfTokens) {
  const TokenGrid grid{2, 3, 4};
  const Permutation order = position_major_order(grid), place = inverse(order);
  const BlockSelection selection = grid_neighbours(grid, order, 3);
  std::vector<std::vector<bool>> expected(8, std::vector<bool>(8, false));
  for (int a = 0; a < 24; ++a)
    for (int b = 0; b < 24; ++b) {
      const bool near = std::abs(a / 12 - b / 12) <= 1 && std::abs(a / 4 % 3 - b / 4 % 3) <= 1 && std::abs(a % 4 - b % 4) <= 1;
      if (near) expected[static_cast<std::size_t>(place[a] / 3)][static_cast<std::size_t>(place[b] / 3)] = true;
    }
  for (int m = 0; m < 8; ++m)
    for (int n = 0; n < 8; ++n) EXPECT_EQ(selection.keeps(0, m, n), expected[m][n]) << m << " " << n;
}

TEST(BlockSelection, JoinsRefinesCoarsensAndBecomesAMask) {
  BlockSelection large(2, 2, 3);
  large.keep(0, 0, 2);
  large.keep(1, 1, 0);
  const BlockSelection small = large.refined(2, 4, 5);  // 128 -> 64: an odd number of keys' blocks
  EXPECT_EQ(kept_of(small, 0, 1), (std::vector<int>{4}));
  EXPECT_EQ(kept_of(small, 1, 3), (std::vector<int>{0, 1}));
  const BlockSelection back = small.coarsened(2);
  for (int h = 0; h < 2; ++h)
    for (int m = 0; m < 2; ++m) EXPECT_EQ(kept_of(back, h, m), kept_of(large, h, m));
  BlockSelection joined = small, sink(1, 4, 5);
  sink.keep_columns(0, 1);
  sink.keep_rows(3, 4);
  joined |= sink;
  EXPECT_EQ(kept_of(joined, 0, 1), (std::vector<int>{0, 4}));
  EXPECT_EQ(joined.count(0, 3), 5);
  EXPECT_DOUBLE_EQ(joined.kept_ratio(), (2 + 2 + 1 + 5 + 1 + 1 + 2 + 5) / 40.0);

  MaskDescription d;
  d.queries = 200;
  d.keys = 300;
  joined.write_lists(d);
  const BlockMask mask(d);
  for (int h = 0; h < 2; ++h)
    for (int i = 0; i < 200; i += 7)
      for (int j = 0; j < 300; j += 7) EXPECT_EQ(mask.keeps(h, i, j), joined.keeps(h, i / 64, j / 64));
  d.list_block_tokens = 128;
  large.write_lists(d);
  const BlockMask of_large(d);
  for (int h = 0; h < 2; ++h)
    for (int i = 0; i < 200; i += 7)
      for (int j = 0; j < 300; j += 7) EXPECT_EQ(of_large.keeps(h, i, j), large.keeps(h, i / 128, j / 128));
}

TEST(BlockSelection, KeptMassIsWhatTheSelectionHoldsOfAll) {
  Scores scores(2, 3, 10, 4);
  BlockSelection selection(2, 3, 10);
  select_rows(scores.view(), {}, {RowRule::top_k(3)}, selection);
  const std::vector<double> ratios = kept_mass_ratio(scores.view(), selection);
  for (std::int64_t h = 0; h < 2; ++h) {
    double kept = 0, all = 0;
    for (std::int64_t m = 0; m < 3; ++m) {
      for (const double score : scores.row(h, m)) all += score;
      for (const int n : reference::largest(scores.row(h, m), 3)) kept += scores.at(h, m, n);
    }
    EXPECT_NEAR(ratios[static_cast<std::size_t>(h)], kept / all, 1e-12);
  }
}

TEST(BlockSelection, SaysWhatItExpected) {
  Scores scores(2, 3, 4, 1);
  BlockSelection selection(2, 3, 5), fits(2, 3, 4);
  const auto refusal = [](const std::function<void()>& body) -> std::string {
    try {
      body();
    } catch (const Error& error) {
      return error.what();
    }
    return "";
  };
  const auto expects = [&](const std::string& text, const std::function<void()>& body) {
    EXPECT_NE(refusal(body).find(text), std::string::npos) << refusal(body);
  };
  expects("expected scores of (2,3,5), got (2,3,4)", [&] { select_rows(scores.view(), {}, {RowRule::top_k(1)}, selection); });
  expects("expected 1 or 2 rules, got 3", [&] { select_rows(scores.view(), {}, std::vector<RowRule>(3), fits); });
  expects("keep 0 or more", [&] { select_rows(scores.view(), {}, {RowRule::top_k(-1)}, fits); });
  expects("expected 0 to 12 skipped", [&] { select_global(scores.view(), {13}, fits); });
  expects("3 x 4 blocks", [&] { fits |= selection; });
  expects("key blocks within 0..4", [&] { fits.keep_columns(2, 5); });
  expects("refine or coarsen", [&] {
    MaskDescription d;
    d.queries = d.keys = 64;
    fits.write_lists(d);
  });
  expects("an order of 24 tokens", [&] { grid_neighbours({2, 3, 4}, {0, 1}, 3); });
}

}  // namespace
}  // namespace ditscope
