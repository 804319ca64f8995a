#include "kernels/block_mask.h"

#include <gtest/gtest.h>

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
    double kept = 0;
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
          if (!d.valid_keys.empty()) expected &= (d.valid_keys[j / 64] >> (j % 64)) & 1;
          ASSERT_EQ(mask.keeps(h, i, j), expected) << "head " << h << " pair " << i << "," << j;
          ASSERT_EQ(rest.keeps(h, i, j), !expected);
          kept += expected;
        }
      }
    }
    EXPECT_NEAR(mask.kept_ratio(), kept / (3.0 * d.queries * d.keys), 1e-12);
    EXPECT_NEAR(mask.kept_ratio() + rest.kept_ratio(), 1, 1e-12);
    EXPECT_GE(mask.kept_ratio_blocks(), mask.kept_ratio());
  }
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
}

}  // namespace
}  // namespace ditscope
