#include "kernels/plan/attention_plan.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <set>
#include <tuple>

#include "kernels/error.h"
#include "tests/kernels/random_mask.h"

namespace ditscope {
namespace {

/// What a plan keeps of one head, as a GPU would find it by walking the queue.
std::vector<std::vector<int>> walked(const AttentionPlan& plan, int head, bool first) {
  const PlanLayout& layout = plan.layout;
  std::vector<std::vector<int>> visits(static_cast<std::size_t>(layout.queries),
                                       std::vector<int>(static_cast<std::size_t>(layout.keys)));
  for (int i = 0; i < layout.items; ++i) {
    const PlanItem item = plan.items()[i];
    if (item.head != head) continue;
    for (int e = first ? item.begin : item.split; e < (first ? item.split : item.end); ++e) {
      const PlanEntry entry = plan.entries()[e];
      for (int row = 0; row < layout.tile_blocks * kBlockTokens; ++row) {
        const std::int64_t query = std::int64_t{item.tile} * layout.tile_blocks * kBlockTokens + row;
        const std::int32_t rows = entry.rows[row / kBlockTokens];
        if (query >= layout.queries || rows == PlanEntry::kAbsent) continue;
        for (int j = 0; j < kBlockTokens; ++j) {
          const std::int64_t key = std::int64_t{entry.key_block} * kBlockTokens + j;
          const bool kept =
              rows == PlanEntry::kWhole || (plan.row_words()[rows * kBlockTokens + row % kBlockTokens] >> j & 1) != 0;
          if (!kept) continue;
          EXPECT_LT(key, layout.keys) << "a key beyond the end";
          if (key < layout.keys) ++visits[static_cast<std::size_t>(query)][static_cast<std::size_t>(key)];
        }
      }
    }
  }
  return visits;
}

void expect_same(const AttentionPlan& plan, const BlockMask& mask, int heads, bool first = false) {
  for (int head = 0; head < heads; ++head) {
    const auto visits = walked(plan, head, first);
    for (int i = 0; i < mask.queries(); ++i)
      for (int j = 0; j < mask.keys(); ++j) {
        ASSERT_EQ(visits[static_cast<std::size_t>(i)][static_cast<std::size_t>(j)], mask.keeps(head, i, j))
            << head << " " << i << " " << j;
      }
  }
}

/// One list a head: the key blocks of every query block.
BlockMask listed(const std::vector<std::vector<int>>& rows, std::int64_t tokens) {
  MaskDescription d;
  d.queries = d.keys = tokens;
  d.lists = 1;
  d.block_offsets.push_back(0);
  for (const auto& row : rows) {
    d.key_blocks.insert(d.key_blocks.end(), row.begin(), row.end());
    d.block_offsets.push_back(static_cast<std::int64_t>(d.key_blocks.size()));
  }
  return BlockMask(d);
}

TEST(AttentionPlan, VisitsEveryKeptPairOnceAndNoOther) {
  std::mt19937 random(1);
  for (int round = 0; round < 24; ++round) {
    const int heads = 1 + round % 3, queries = round % 6 == 0 ? 1 : 1 + static_cast<int>(random() % 300);
    const int keys = round % 5 == 0 ? 1 : 1 + static_cast<int>(random() % 300);
    const BlockMask mask = round % 4 == 0 ? BlockMask::dense(queries, keys) : test::random_mask(random, heads, queries, keys);
    PlanOptions options;
    options.tile_blocks = 1 + round % 2;
    options.most_entries = round % 3 == 2 ? 2 : 0;
    expect_same(make_attention_plan(mask, heads, options), mask, heads);
  }
}

TEST(AttentionPlan, OfTwoMasksVisitsTheFirstBeforeTheSecond) {
  std::mt19937 random(2);
  for (const int tile_blocks : {1, 2}) {
    const BlockMask kept = test::random_mask(random, 2, 200, 170), rest = kept.complement();
    PlanOptions options;
    options.tile_blocks = tile_blocks;
    const AttentionPlan plan = make_attention_plan(kept, 2, options, &rest);
    EXPECT_TRUE(plan.layout.splits);
    expect_same(plan, kept, 2);
    expect_same(plan, rest, 2, true);
  }
}

TEST(AttentionPlan, HandsOutEveryTileHeaviestFirst) {
  std::mt19937 random(3);
  for (const int tile_blocks : {1, 2}) {
    const BlockMask mask = test::random_mask(random, 3, 700, 900);
    PlanOptions options;
    options.tile_blocks = tile_blocks;
    const AttentionPlan plan = make_attention_plan(mask, 3, options);
    std::set<std::pair<int, int>> tiles;
    int last = 1 << 30;
    for (int i = 0; i < plan.layout.items; ++i) {
      const PlanItem item = plan.items()[i];
      tiles.insert({item.head, item.tile});
      const int length = item.end - item.begin;
      EXPECT_LE(length, last + last / 4 + 1) << "within a quarter of what came before";
      last = std::min(last, length);
    }
    const int count = 3 * ((11 + tile_blocks - 1) / tile_blocks);
    EXPECT_EQ(plan.layout.items, count);
    EXPECT_EQ(tiles.size(), static_cast<std::size_t>(count));
  }
}

TEST(AttentionPlan, TilesOfTwoLoadASharedBlockOnceInAscendingOrder) {
  const BlockMask mask = listed({{0, 2, 3}, {2, 4}, {}, {1}, {}}, 320);
  PlanOptions options;
  options.tile_blocks = 2;
  const AttentionPlan plan = make_attention_plan(mask, 1, options);
  std::map<int, std::vector<std::tuple<int, int, int>>> found;
  for (int i = 0; i < plan.layout.items; ++i) {
    const PlanItem item = plan.items()[i];
    for (int e = item.begin; e < item.end; ++e) {
      const PlanEntry entry = plan.entries()[e];
      found[item.tile].push_back({entry.key_block, entry.rows[0], entry.rows[1]});
    }
  }
  constexpr int W = PlanEntry::kWhole, A = PlanEntry::kAbsent;
  EXPECT_EQ(found[0], (std::vector<std::tuple<int, int, int>>{{0, W, A}, {2, W, W}, {3, W, A}, {4, A, W}}));
  EXPECT_EQ(found[1], (std::vector<std::tuple<int, int, int>>{{1, A, W}}));
  EXPECT_EQ(found.count(2), 0u) << "a tile without keys is in the queue, with nothing to visit";
}

TEST(AttentionPlan, DividesLongTilesIntoPartsThatMeet) {
  std::vector<std::vector<int>> rows(8, {0});
  for (int n = 1; n < 8; ++n) rows[5].push_back(n);
  PlanOptions options;
  options.most_entries = 3;
  const AttentionPlan plan = make_attention_plan(listed(rows, 512), 2, options);
  EXPECT_EQ(plan.layout.divided_tiles, 2);
  EXPECT_EQ(plan.layout.part_slots, 6);
  std::map<std::pair<int, int>, int> parts;
  std::set<int> slots;
  for (int i = 0; i < plan.layout.items; ++i) {
    const PlanItem item = plan.items()[i];
    EXPECT_LE(item.end - item.begin, 3);
    if (item.parts == 1) {
      EXPECT_EQ(item.slot, -1);
      continue;
    }
    EXPECT_EQ(item.tile, 5);
    EXPECT_EQ(item.parts, 3);
    ++parts[{item.head, item.tile}];
    EXPECT_TRUE(slots.insert(item.slot + item.part).second) << "every part has room of its own";
  }
  EXPECT_EQ(parts.size(), 2u);
  EXPECT_EQ(*slots.rbegin(), 5);
  expect_same(plan, listed(rows, 512), 2);
}

TEST(AttentionPlan, PairsAreChosenWhereListsOverlap) {
  EXPECT_EQ(shared_ratio(BlockMask::dense(256, 256)), 1);
  EXPECT_EQ(better_tile_blocks(BlockMask::dense(256, 256)), 2);
  const BlockMask apart = listed({{0}, {1}, {2}, {3}}, 256);
  EXPECT_EQ(shared_ratio(apart), 0.5);
  EXPECT_EQ(better_tile_blocks(apart), 1);
  EXPECT_EQ(shared_ratio(listed({{0, 1}, {1, 2}, {}}, 192)), 4.0 / 6);
  EXPECT_EQ(shared_ratio(BlockMask::dense(128, 128).complement()), 1) << "of nothing, all";
}

TEST(AttentionPlan, OneDenseRowIsDividedSoThatWorkersEndTogether) {
  std::vector<std::vector<int>> rows(64, {0});
  for (int n = 1; n < 64; ++n) rows[7].push_back(n);
  EXPECT_EQ(balanced_entries(listed(rows, 4096), 1, 1, 4), 32) << "127 entries among 4";
  EXPECT_EQ(balanced_entries(listed(rows, 4096), 1, 1, 1000), 16) << "parts of fewer entries are not worth meeting";
  EXPECT_EQ(balanced_entries(listed(rows, 4096), 1, 1, 1), 0) << "nobody to share with";
}

TEST(AttentionPlan, StartsWithZeroCountersAndAlignedTables) {
  std::mt19937 random(4);
  PlanOptions options;
  options.most_entries = 1;
  const AttentionPlan plan = make_attention_plan(test::random_mask(random, 2, 333, 222), 2, options);
  const auto* bytes = reinterpret_cast<const unsigned char*>(plan.words.data());
  EXPECT_TRUE(std::all_of(bytes, bytes + plan.layout.items_offset, [](unsigned char b) { return b == 0; }));
  EXPECT_GE(plan.layout.items_offset, PlanLayout::kCounterBytes + 4 * plan.layout.part_slots);
  for (const std::int64_t offset :
       {plan.layout.tickets_offset, plan.layout.items_offset, plan.layout.entries_offset, plan.layout.words_offset}) {
    EXPECT_EQ(offset % 16, 0);
  }
  EXPECT_EQ(plan.layout.bytes, static_cast<std::int64_t>(plan.words.size() * 8));
}

TEST(AttentionPlan, RefusesMasksOfOtherHeadsOrSizes) {
  std::mt19937 random(5);
  const BlockMask dense = BlockMask::dense(100, 100), other = BlockMask::dense(100, 101);
  EXPECT_THROW(make_attention_plan(dense, 1, {}, &other), Error);
  PlanOptions three;
  three.tile_blocks = 3;
  EXPECT_THROW(make_attention_plan(dense, 1, three), Error);
  MaskDescription d;
  d.queries = d.keys = 10;
  d.spans_per_row = 1;
  d.spans.assign(10, TokenSpan{0, 10});
  d.list_of_head = {0, 0};
  EXPECT_THROW(make_attention_plan(BlockMask(d), 3), Error);
}

TEST(AttentionPlan, OfNoQueriesHasNoTiles) {
  EXPECT_EQ(make_attention_plan(BlockMask::dense(0, 64), 3).layout.items, 0);
  EXPECT_EQ(make_attention_plan(BlockMask::dense(64, 0), 3).layout.items, 3);
}

}  // namespace
}  // namespace ditscope
