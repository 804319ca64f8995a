#include "kernels/block_mask.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <functional>
#include <random>

#include "kernels/error.h"

namespace ditscope {
namespace {

MaskDescription band(int tokens, int half) {
  MaskDescription d;
  d.queries = d.keys = tokens;
  d.spans_per_row = 1;
  for (int i = 0; i < tokens; ++i) d.spans.push_back({std::max(0, i - half), std::min(tokens, i + half + 1)});
  return d;
}

TEST(BlockMask, DenseKeepsEveryPairAndVisitsEveryBlock) {
  for (const int tokens : {1, 63, 64, 65, 200}) {
    const BlockMask mask = BlockMask::dense(tokens, tokens + 7);
    EXPECT_EQ(mask.kept_pairs(0), std::int64_t{tokens} * (tokens + 7));
    EXPECT_EQ(mask.kept_ratio(), 1.0);
    EXPECT_EQ(mask.kept_ratio_blocks(), 1.0);
    EXPECT_TRUE(mask.is_dense());
    EXPECT_TRUE(mask.keeps(3, tokens - 1, tokens + 6));
  }
}

TEST(BlockMask, KeepsExactlyWhatTheDescriptionSays) {
  std::mt19937 random(1);
  for (int round = 0; round < 20; ++round) {
    MaskDescription d;
    d.queries = 1 + static_cast<int>(random() % 200);
    d.keys = 1 + static_cast<int>(random() % 300);
    d.spans_per_row = static_cast<int>(random() % 3);
    for (int i = 0; i < d.queries; ++i) {
      int from = 0;
      for (int s = 0; s < d.spans_per_row; ++s) {
        const int begin = from + static_cast<int>(random() % (d.keys - from + 1)),
                  end = begin + static_cast<int>(random() % (d.keys - begin + 1));
        d.spans.push_back({begin, end});
        from = end;
      }
    }
    d.always.begin = static_cast<int>(random() % (d.keys + 1));
    d.always.end = d.always.begin + static_cast<int>(random() % std::min<std::int64_t>(d.keys - d.always.begin + 1, 20));
    const int query_blocks = static_cast<int>((d.queries + 63) / 64), key_blocks = static_cast<int>((d.keys + 63) / 64);
    d.lists = static_cast<int>(random() % 3);
    if (d.lists > 0) d.block_offsets.push_back(0);
    for (int row = 0; row < d.lists * query_blocks; ++row) {
      for (int n = 0; n < key_blocks; ++n) {
        if (random() % 3 == 0) d.key_blocks.push_back(n);
      }
      d.block_offsets.push_back(static_cast<std::int64_t>(d.key_blocks.size()));
    }
    if (d.lists > 0) d.list_of_head = {d.lists - 1, 0, d.lists - 1};
    if (round % 2) {
      for (int n = 0; n < key_blocks; ++n) d.valid_keys.push_back((std::uint64_t{random()} << 32) | random());
    }

    const BlockMask mask(d), rest = mask.complement();
    double kept = 0, skipped = 0;
    for (int h = 0; h < 3; ++h) {
      for (int i = 0; i < d.queries; ++i) {
        for (int j = 0; j < d.keys; ++j) {
          bool expected = j >= d.always.begin && j < d.always.end;
          for (int s = 0; s < d.spans_per_row; ++s) {
            const TokenSpan span = d.spans[static_cast<std::size_t>(i) * d.spans_per_row + s];
            expected |= j >= span.begin && j < span.end;
          }
          if (d.lists > 0) {
            const int row = d.list_of_head[h] * query_blocks + i / 64;
            for (auto n = d.block_offsets[row]; n < d.block_offsets[row + 1]; ++n) expected |= d.key_blocks[n] == j / 64;
          }
          const bool valid = d.valid_keys.empty() || ((d.valid_keys[j / 64] >> (j % 64)) & 1);
          ASSERT_EQ(mask.keeps(h, i, j), expected && valid) << "head " << h << " pair " << i << "," << j;
          ASSERT_EQ(rest.keeps(h, i, j), !expected && valid);
          kept += expected && valid;
          skipped += !expected && valid;
        }
      }
    }
    EXPECT_NEAR(mask.kept_ratio(), kept / (3.0 * d.queries * d.keys), 1e-12);
    EXPECT_NEAR(rest.kept_ratio(), skipped / (3.0 * d.queries * d.keys), 1e-12);
    EXPECT_GE(mask.kept_ratio_blocks(), mask.kept_ratio());
  }
}

TEST(BlockMask, TakesListsOfLargerAndOfVariableBlocksBesideTextRowsAndColumns) {
  std::mt19937 random(5);
  for (int round = 0; round < 12; ++round) {
    const bool variable = round % 2 == 1;
    MaskDescription d;
    d.queries = 1 + static_cast<int>(random() % 400);
    d.keys = 1 + static_cast<int>(random() % 400);
    d.lists = 1 + static_cast<int>(random() % 2);
    d.list_block_tokens = round % 4 == 0 ? 128 : 192;
    if (round % 3 == 0) {
      d.always = {0, static_cast<int>(d.keys) / 5};
      d.always_rows = {static_cast<int>(d.queries) / 3, static_cast<int>(d.queries) / 2};
    }
    const auto bounds = [&](std::int64_t tokens, std::vector<std::int32_t>& all) {  // 7 blocks a list, some of them empty
      for (int list = 0; list < d.lists; ++list) {
        std::vector<std::int32_t> cuts{0, static_cast<std::int32_t>(tokens)};
        for (int i = 0; i < 6; ++i) cuts.push_back(static_cast<std::int32_t>(random() % (tokens + 1)));
        std::sort(cuts.begin(), cuts.end());
        all.insert(all.end(), cuts.begin(), cuts.end());
      }
    };
    if (variable) {
      bounds(d.queries, d.query_bounds);
      bounds(d.keys, d.key_bounds);
    }
    const auto blocks = [&](std::int64_t tokens) {
      return variable ? 7 : static_cast<int>((tokens + d.list_block_tokens - 1) / d.list_block_tokens);
    };
    const int rows = blocks(d.queries), columns = blocks(d.keys);
    d.block_offsets = {0};
    for (int row = 0; row < d.lists * rows; ++row) {
      for (int n = 0; n < columns; ++n)
        if (random() % 3 == 0) d.key_blocks.push_back(n);
      d.block_offsets.push_back(static_cast<std::int64_t>(d.key_blocks.size()));
    }
    d.list_of_head = {d.lists - 1, 0};
    const BlockMask mask(d);
    const auto block_of = [&](const std::vector<std::int32_t>& all, int list, int token) {
      if (!variable) return token / d.list_block_tokens;
      int block = 0;
      while (token >= all[list * 8 + block + 1]) ++block;
      return block;
    };
    for (int h = 0; h < 2; ++h)
      for (int i = 0; i < d.queries; ++i)
        for (int j = 0; j < d.keys; ++j) {
          const int list = d.list_of_head[h], row = list * rows + block_of(d.query_bounds, list, i);
          bool expected = (j >= d.always.begin && j < d.always.end) || (i >= d.always_rows.begin && i < d.always_rows.end);
          for (auto n = d.block_offsets[row]; n < d.block_offsets[row + 1]; ++n)
            expected |= d.key_blocks[n] == block_of(d.key_bounds, list, j);
          ASSERT_EQ(mask.keeps(h, i, j), expected) << "round " << round << " head " << h << " pair " << i << "," << j;
        }
  }
}

TEST(BlockMask, OrdersQueryBlocksByTheirVisitsAndKeepsNeighboursTogether) {
  MaskDescription d = band(640, 3);
  d.always_rows = {300, 301};
  const BlockMask mask(d);
  std::vector<std::int32_t> order(mask.heaviest_first(0), mask.heaviest_first(0) + mask.query_blocks());
  // block 4 has the row that sees all ten key blocks; the ends of the band see two blocks, all others three
  EXPECT_EQ(order, (std::vector<std::int32_t>{4, 1, 2, 3, 5, 6, 7, 8, 0, 9}));
}

TEST(BlockMask, ABandOf129KeysOver4096TokensKeepsOnePairIn32) {
  const BlockMask mask(band(4096, 64));
  EXPECT_EQ(mask.kept_pairs(0), 524224);
  EXPECT_NEAR(mask.kept_ratio_blocks(), 0.046, 0.001);
}

TEST(BlockMask, RefusesDescriptionsThatDoNotHoldTogether) {
  const auto refused = [](const std::function<void(MaskDescription&)>& spoil) {
    MaskDescription d = band(100, 3);
    d.lists = 1;
    d.block_offsets = {0, 2, 3};
    d.key_blocks = {0, 1, 1};
    BlockMask good(d);
    spoil(d);
    EXPECT_THROW(BlockMask{d}, Error);
  };
  refused([](MaskDescription& d) { d.spans.pop_back(); });
  refused([](MaskDescription& d) { d.spans[5].end = 101; });
  refused([](MaskDescription& d) { d.spans[5].begin = -1; });
  refused([](MaskDescription& d) { d.spans[5] = {9, 8}; });
  refused([](MaskDescription& d) {
    d.spans_per_row = 2;
    d.spans.assign(200, {0, 50});
  });
  refused([](MaskDescription& d) { d.always = {90, 101}; });
  refused([](MaskDescription& d) { d.key_blocks[1] = 2; });
  refused([](MaskDescription& d) { d.key_blocks[1] = 0; });
  refused([](MaskDescription& d) { d.block_offsets[2] = 4; });
  refused([](MaskDescription& d) { d.list_of_head = {0, 1}; });
  refused([](MaskDescription& d) { d.valid_keys = {1}; });
  refused([](MaskDescription& d) { d.queries = -1; });
  refused([](MaskDescription& d) { d.list_block_tokens = 96; });
  refused([](MaskDescription& d) { d.always_rows = {90, 101}; });
  refused([](MaskDescription& d) { d.query_bounds = {0, 50, 100}; });
  refused([](MaskDescription& d) {
    d.query_bounds = {0, 50, 100};
    d.key_bounds = {0, 60, 50, 100};
  });
  refused([](MaskDescription& d) {
    d.query_bounds = {0, 50, 99};
    d.key_bounds = {0, 50, 100};
  });
}

}  // namespace
}  // namespace ditscope
