#include "kernels/plan/attention_plan.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cstring>
#include <limits>
#include <string>

#include "kernels/error.h"

namespace ditscope {
namespace {

/// Below this, half-idle tiles cost more than the loads they save.
constexpr double kWorthSharing = 0.8;

[[noreturn]] void refuse(const std::string& message) {
  throw Error(ErrorKind::InvalidArgument, message);
}

/// Gives the row words of masks new numbers in the order of their first use.
class RowWords {
 public:
  explicit RowWords(std::int64_t keys) : keys_(keys) {}

  /// The `rows` field for a visit. A whole block at the end of the keys becomes a partial one.
  std::int32_t number(const BlockMask& mask, int which, const BlockMask::Visit& visit) {
    if (visit.bits == BlockMask::kWhole) {
      const std::int64_t left = keys_ - std::int64_t{visit.key_block} * kBlockTokens;
      if (left >= kBlockTokens) return PlanEntry::kWhole;
      if (tail_ < 0) {
        tail_ = count();
        words_.insert(words_.end(), kBlockTokens, (std::uint64_t{1} << left) - 1);
      }
      return tail_;
    }
    std::vector<std::int32_t>& known = numbers_[static_cast<std::size_t>(which)];
    const std::size_t bits = static_cast<std::size_t>(visit.bits);
    if (known.size() <= bits) known.resize(bits + 1, -1);
    if (known[bits] < 0) {
      known[bits] = count();
      const std::uint64_t* rows = mask.row_bits(visit.bits);
      words_.insert(words_.end(), rows, rows + kBlockTokens);
    }
    return known[bits];
  }
  const std::vector<std::uint64_t>& words() const { return words_; }

 private:
  std::int32_t count() const { return static_cast<std::int32_t>(words_.size() / kBlockTokens); }

  std::int64_t keys_;
  std::vector<std::uint64_t> words_;
  std::array<std::vector<std::int32_t>, 2> numbers_;
  std::int32_t tail_ = -1;
};

/// Appends the union of what the query blocks of a tile visit, in ascending order of key blocks.
void append_tile(const BlockMask& mask, int which, int list, int tile, int tile_blocks, RowWords& rows,
                 std::vector<PlanEntry>& entries) {
  const BlockMask::Visit *next[2] = {}, *end[2] = {};
  for (int b = 0; b < tile_blocks; ++b) {
    const int block = tile * tile_blocks + b;
    if (block >= mask.query_blocks()) continue;
    next[b] = mask.visits_begin(list, block);
    end[b] = mask.visits_end(list, block);
  }
  while (next[0] != end[0] || next[1] != end[1]) {
    std::int32_t key_block = std::numeric_limits<std::int32_t>::max();
    for (int b = 0; b < 2; ++b) {
      if (next[b] != end[b]) key_block = std::min(key_block, next[b]->key_block);
    }
    PlanEntry entry{key_block, {PlanEntry::kAbsent, PlanEntry::kAbsent}, 0};
    for (int b = 0; b < 2; ++b) {
      if (next[b] != end[b] && next[b]->key_block == key_block) entry.rows[b] = rows.number(mask, which, *next[b]++);
    }
    entries.push_back(entry);
  }
}

struct Range {
  std::int32_t begin, split, end;
  std::int32_t length() const { return end - begin; }
};

/// 0 for an empty tile; four classes between powers of two, so that tiles of about one length keep their order, in which
/// neighbours share keys that are still in the cache.
int weight_class(std::int32_t length) {
  if (length < 4) return length;
  const int power = std::bit_width(static_cast<std::uint32_t>(length)) - 1;
  return 4 * (power - 1) + ((length >> (power - 2)) & 3);
}

/// Tiles in the order of the queue, long ones cut into parts.
std::vector<PlanItem> queue(const BlockMask& mask, int heads, int tiles, const std::vector<Range>& ranges, int most_entries,
                            PlanLayout& layout) {
  std::vector<PlanItem> items;
  for (int head = 0; head < heads; ++head) {
    for (int tile = 0; tile < tiles; ++tile) {
      const Range range = ranges[static_cast<std::size_t>(mask.list_of_head(head)) * tiles + tile];
      const int parts =
          most_entries > 0 && range.length() > most_entries ? (range.length() + most_entries - 1) / most_entries : 1;
      if (parts == 1) {
        items.push_back({head, tile, range.begin, range.split, range.end, -1, 0, 1});
        continue;
      }
      for (int part = 0; part < parts; ++part) {
        const auto cut = [&](int n) { return range.begin + static_cast<std::int32_t>(std::int64_t{range.length()} * n / parts); };
        items.push_back({head, tile, cut(part), cut(part), cut(part + 1), layout.part_slots, part, parts});
      }
      ++layout.divided_tiles;
      layout.part_slots += parts;
    }
  }
  std::stable_sort(items.begin(), items.end(), [](const PlanItem& a, const PlanItem& b) {
    return weight_class(a.end - a.begin) > weight_class(b.end - b.begin);
  });
  return items;
}

std::int64_t rounded(std::int64_t bytes) {
  return (bytes + 15) / 16 * 16;
}

}  // namespace

AttentionPlan make_attention_plan(const BlockMask& kept, int heads, const PlanOptions& options, const BlockMask* first) {
  if (options.tile_blocks != 1 && options.tile_blocks != 2) {
    refuse("expected tiles of 1 or 2 query blocks, got " + std::to_string(options.tile_blocks) + "; choose one of them");
  }
  if (heads < 0 || (kept.heads() != 0 && kept.heads() != heads)) {
    refuse("expected a mask for " + std::to_string(heads) + " heads, got one for " + std::to_string(kept.heads()) +
           "; make it for the heads of the call");
  }
  if (first && (first->queries() != kept.queries() || first->keys() != kept.keys() || first->lists() != kept.lists())) {
    refuse("expected two masks of one size, got " + std::to_string(first->queries()) + " x " + std::to_string(first->keys()) +
           " and " + std::to_string(kept.queries()) + " x " + std::to_string(kept.keys()) + "; take a mask and its complement");
  }
  AttentionPlan plan;
  PlanLayout& layout = plan.layout;
  layout.queries = kept.queries();
  layout.keys = kept.keys();
  layout.heads = heads;
  layout.tile_blocks = options.tile_blocks;
  layout.splits = first != nullptr;

  const int tiles = (kept.query_blocks() + options.tile_blocks - 1) / options.tile_blocks;
  RowWords rows(kept.keys());
  std::vector<PlanEntry> entries;
  std::vector<Range> ranges;
  for (int list = 0; list < kept.lists(); ++list) {
    for (int tile = 0; tile < tiles; ++tile) {
      Range range{static_cast<std::int32_t>(entries.size()), 0, 0};
      if (first) append_tile(*first, 1, list, tile, options.tile_blocks, rows, entries);
      range.split = static_cast<std::int32_t>(entries.size());
      append_tile(kept, 0, list, tile, options.tile_blocks, rows, entries);
      if (entries.size() > static_cast<std::size_t>(std::numeric_limits<std::int32_t>::max())) {
        refuse("expected fewer than 2^31 block visits, got more; use fewer heads a call");
      }
      range.end = static_cast<std::int32_t>(entries.size());
      ranges.push_back(range);
    }
  }
  const std::vector<PlanItem> items = queue(kept, heads, tiles, ranges, first ? 0 : options.most_entries, layout);

  layout.items = static_cast<int>(items.size());
  for (const PlanItem& item : items) layout.most_entries = std::max(layout.most_entries, item.end - item.begin);
  layout.tickets_offset = PlanLayout::kCounterBytes;
  layout.items_offset = rounded(layout.tickets_offset + 4 * std::int64_t{layout.part_slots});
  const auto bytes = [](const auto& all) { return static_cast<std::int64_t>(all.size() * sizeof(all[0])); };
  layout.entries_offset = rounded(layout.items_offset + bytes(items));
  layout.words_offset = rounded(layout.entries_offset + bytes(entries));
  layout.bytes = rounded(layout.words_offset + bytes(rows.words()));
  plan.words.assign(static_cast<std::size_t>(layout.bytes / 8), 0);
  const auto write = [&](std::int64_t offset, const auto& all) {
    if (!all.empty()) std::memcpy(reinterpret_cast<unsigned char*>(plan.words.data()) + offset, all.data(), bytes(all));
  };
  write(layout.items_offset, items);
  write(layout.entries_offset, entries);
  write(layout.words_offset, rows.words());
  return plan;
}

double shared_ratio(const BlockMask& mask) {
  std::int64_t wanted = 0, stepped = 0;
  for (int list = 0; list < mask.lists(); ++list) {
    for (int block = 0; block < mask.query_blocks(); block += 2) {
      const bool pair = block + 1 < mask.query_blocks();
      const BlockMask::Visit *a = mask.visits_begin(list, block), *a_end = mask.visits_end(list, block);
      const BlockMask::Visit *b = pair ? mask.visits_begin(list, block + 1) : a_end,
                             *b_end = pair ? mask.visits_end(list, block + 1) : a_end;
      wanted += (a_end - a) + (b_end - b);
      for (; a != a_end || b != b_end; ++stepped) {
        const bool take_a = b == b_end || (a != a_end && a->key_block <= b->key_block);
        const bool take_b = a == a_end || (b != b_end && b->key_block <= a->key_block);
        a += take_a;
        b += take_b;
      }
    }
  }
  return stepped == 0 ? 1 : static_cast<double>(wanted) / (2 * static_cast<double>(stepped));
}

int better_tile_blocks(const BlockMask& mask) {
  return shared_ratio(mask) >= kWorthSharing ? 2 : 1;
}

int balanced_entries(const BlockMask& mask, int heads, int tile_blocks, int workers) {
  // Shorter parts would spend more on meeting again than they gain.
  constexpr std::int64_t kShortest = 16;
  std::int64_t all = 0, longest = 0;
  for (int head = 0; head < heads; ++head) {
    const int list = mask.list_of_head(head);
    for (int block = 0; block < mask.query_blocks(); block += tile_blocks) {
      std::int64_t length = 0;
      for (int b = block; b < std::min(block + tile_blocks, mask.query_blocks()); ++b) {
        length = std::max<std::int64_t>(length, mask.visits_end(list, b) - mask.visits_begin(list, b));
      }
      all += length;
      longest = std::max(longest, length);
    }
  }
  const std::int64_t share = std::max((all + std::max(workers, 1) - 1) / std::max(workers, 1), kShortest);
  return longest > share ? static_cast<int>(share) : 0;
}

}  // namespace ditscope
