#pragma once
#include <cstddef>
#include <cstdint>
#include <vector>

#include "kernels/block_mask.h"

namespace ditscope {

// What a GPU walks instead of a BlockMask: a queue of tiles, heaviest first, each with a range of key blocks to visit. Made once
// a mask on the CPU as one run of bytes, uploaded once, read by every launch.

/// One key block that a tile visits. A tile has one or two query blocks; each says how it sees the key block.
struct PlanEntry {
  static constexpr std::int32_t kWhole = -1;   ///< every row keeps every key
  static constexpr std::int32_t kAbsent = -2;  ///< this query block skips it
  std::int32_t key_block;
  std::int32_t rows[2];  ///< kWhole, kAbsent, or the number of its 64 row words
  std::int32_t unused;   ///< 16 bytes, one load
};

/// One tile of the queue: a head and 64 * tile_blocks queries.
struct PlanItem {
  std::int32_t head;
  std::int32_t tile;
  std::int32_t begin, split, end;  ///< entries begin .. split-1 are those of `first`, split .. end-1 those of `kept`
  std::int32_t slot;               ///< of a divided tile: the number of its first part among all parts; else -1
  std::int32_t part, parts;        ///< this one of so many parts of the tile
};

/// Where things lie in the bytes of a plan. Offsets are multiples of 16. The bytes begin with kCounterBytes of zeros that belong
/// to the launches: a plan serves one stream at a time.
struct PlanLayout {
  static constexpr std::int64_t kCounterBytes = 64;
  std::int64_t queries = 0, keys = 0;
  int heads = 0;
  int tile_blocks = 1;    ///< query blocks a tile: 1 or 2
  int items = 0;          ///< tiles in the queue, over all heads
  int divided_tiles = 0;  ///< tiles whose entries are shared out among several items
  int part_slots = 0;     ///< partial results that those need room for
  int most_entries = 0;   ///< of one item
  bool splits = false;    ///< made from two masks, for the split kernel
  std::int64_t items_offset = 0, entries_offset = 0, words_offset = 0;
  std::int64_t bytes = 0;
  std::int64_t tickets_offset = 0;  ///< one zero int32 a part; a divided tile counts at its first
};

struct AttentionPlan {
  PlanLayout layout;
  std::vector<std::uint64_t> words;  ///< the bytes, 8 at a time

  const PlanItem* items() const { return at<PlanItem>(layout.items_offset); }
  const PlanEntry* entries() const { return at<PlanEntry>(layout.entries_offset); }
  const std::uint64_t* row_words() const { return at<std::uint64_t>(layout.words_offset); }

 private:
  template <typename T>
  const T* at(std::int64_t offset) const {
    return reinterpret_cast<const T*>(reinterpret_cast<const unsigned char*>(words.data()) + offset);
  }
};

struct PlanOptions {
  int tile_blocks = 1;  ///< 1, or 2: two query blocks share what they load, each skipping what it does not keep
  /// Tiles with more entries than this are shared out among several items of at most so many; 0: never.
  int most_entries = 0;
};

/// @param heads  how many heads the call has; mask.heads() where the mask is made for some
/// @param first  with it, a plan for the split kernel: its entries come before those of `kept`; never divided
/// @throws Error{InvalidArgument} where sizes disagree
AttentionPlan make_attention_plan(const BlockMask& kept, int heads, const PlanOptions& options = {},
                                  const BlockMask* first = nullptr);

/// Of the block products that tiles of two query blocks step over, the part that their rows keep: 1 where both always want the
/// same keys, 0.5 where they have none in common.
double shared_ratio(const BlockMask& mask);

/// Tiles of two query blocks where their lists overlap so far that loading once is worth more than the idle half.
int better_tile_blocks(const BlockMask& mask);

/// Entries a tile at most, so that `workers` that take tiles off the queue end together; 0 where no tile is that long.
int balanced_entries(const BlockMask& mask, int heads, int tile_blocks, int workers);

}  // namespace ditscope
