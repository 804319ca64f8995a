#include "kernels/block_mask.h"

#include <algorithm>
#include <bit>
#include <limits>
#include <string>

#include "kernels/error.h"

namespace ditscope {
namespace {

constexpr std::uint64_t kAll = ~std::uint64_t{0};

int blocks_of(std::int64_t tokens) {
  return static_cast<int>((tokens + kBlockTokens - 1) / kBlockTokens);
}

/// Bits of the keys begin .. end-1 that lie in `block`.
std::uint64_t span_bits(std::int64_t begin, std::int64_t end, int block) {
  const std::int64_t first = static_cast<std::int64_t>(block) * kBlockTokens;
  const std::int64_t low = std::max<std::int64_t>(begin - first, 0), high = std::min<std::int64_t>(end - first, kBlockTokens);
  if (low >= high) return 0;
  return (high == kBlockTokens ? kAll : (std::uint64_t{1} << high) - 1) & (kAll << low);
}

[[noreturn]] void refuse(const std::string& message) {
  throw Error(ErrorKind::InvalidArgument, message);
}

void check_sizes(std::int64_t queries, std::int64_t keys) {
  constexpr std::int64_t kMost = std::numeric_limits<std::int32_t>::max() - kBlockTokens;
  if (queries < 0 || keys < 0 || queries > kMost || keys > kMost) {
    refuse("expected 0 to " + std::to_string(kMost) + " queries and keys, got " + std::to_string(queries) + " and " +
           std::to_string(keys) + "; shorten the sequence");
  }
}

/// Query blocks of a list and their bounds in tokens; key blocks likewise.
struct ListBlocks {
  std::size_t query_blocks = 0, key_blocks = 0;
  bool variable = false;
};

ListBlocks list_blocks(const MaskDescription& d) {
  if (d.list_block_tokens < kBlockTokens || d.list_block_tokens % kBlockTokens != 0) {
    refuse(
        "expected lists of blocks of 64, 128 or another multiple of 64 "
        "tokens, got " +
        std::to_string(d.list_block_tokens) + "; give bounds for other sizes");
  }
  if (d.query_bounds.empty() && d.key_bounds.empty()) {
    const auto blocks = [&](std::int64_t tokens) {
      return static_cast<std::size_t>((tokens + d.list_block_tokens - 1) / d.list_block_tokens);
    };
    return {blocks(d.queries), blocks(d.keys), false};
  }
  const auto lists = static_cast<std::size_t>(std::max(d.lists, 1));
  const auto count = [&](const char* name, const std::vector<std::int32_t>& bounds, std::int64_t tokens) {
    const std::size_t each = bounds.size() / lists;
    bool good = d.lists > 0 && each >= 1 && each * lists == bounds.size();
    for (std::size_t l = 0; good && l < lists; ++l) {
      const auto begin = bounds.begin() + static_cast<std::ptrdiff_t>(l * each), end = begin + static_cast<std::ptrdiff_t>(each);
      good = *begin == 0 && *(end - 1) == tokens && std::is_sorted(begin, end);
    }
    if (!good) {
      refuse(std::string("expected ") + name + " ascending from 0 to " + std::to_string(tokens) +
             " for each list, got others; give every list the bounds of all "
             "its blocks");
    }
    return each - 1;
  };
  return {count("query_bounds", d.query_bounds, d.queries), count("key_bounds", d.key_bounds, d.keys), true};
}

void check_span(const char* name, TokenSpan span, std::int64_t tokens) {
  if (span.begin >= 0 && span.end <= tokens && span.begin <= span.end) return;
  refuse(std::string("expected ") + name + " within 0.." + std::to_string(tokens) + ", got [" + std::to_string(span.begin) +
         ", " + std::to_string(span.end) + "); clip it");
}

void check_lists(const MaskDescription& d, const ListBlocks& blocks) {
  const std::size_t rows = static_cast<std::size_t>(std::max(d.lists, 0)) * blocks.query_blocks;
  if (d.lists < 0 || (d.lists > 0 && d.block_offsets.size() != rows + 1) || (d.lists == 0 && !d.key_blocks.empty())) {
    refuse("expected lists x query blocks + 1 = " + std::to_string(rows + 1) + " block offsets, got " +
           std::to_string(d.block_offsets.size()) + "; give every query block a list");
  }
  for (std::size_t row = 0; row < rows; ++row) {
    const std::int64_t begin = d.block_offsets[row], end = d.block_offsets[row + 1];
    bool good = begin >= 0 && begin <= end && end <= static_cast<std::int64_t>(d.key_blocks.size());
    for (std::int64_t i = begin; good && i < end; ++i) {
      const std::int32_t block = d.key_blocks[static_cast<std::size_t>(i)];
      good = block >= 0 && block < static_cast<std::int64_t>(blocks.key_blocks) &&
             (i == begin || block > d.key_blocks[static_cast<std::size_t>(i) - 1]);
    }
    if (!good)
      refuse("expected ascending key blocks below " + std::to_string(blocks.key_blocks) + " in block list row " +
             std::to_string(row) + ", got others; sort them and drop duplicates");
  }
  for (const std::int32_t list : d.list_of_head) {
    if (list < 0 || list >= std::max(d.lists, 1))
      refuse("expected lists 0.." + std::to_string(std::max(d.lists, 1) - 1) + " in list_of_head, got " + std::to_string(list) +
             "; point at one that exists");
  }
}

ListBlocks check(const MaskDescription& d) {
  check_sizes(d.queries, d.keys);
  if (d.spans_per_row < 0 || d.spans.size() != static_cast<std::size_t>(d.queries) * d.spans_per_row) {
    refuse("expected " + std::to_string(d.queries * d.spans_per_row) + " spans (queries x spans_per_row), got " +
           std::to_string(d.spans.size()) + "; give every row its spans");
  }
  for (std::size_t i = 0; i < d.spans.size(); ++i) {
    const TokenSpan span = d.spans[i];
    const bool follows = i % d.spans_per_row == 0 || span.begin == span.end || span.begin >= d.spans[i - 1].end;
    if (span.begin < 0 || span.end > d.keys || span.begin > span.end || !follows) {
      refuse("expected ascending spans within 0.." + std::to_string(d.keys) + ", got [" + std::to_string(span.begin) + ", " +
             std::to_string(span.end) + ") in row " + std::to_string(i / d.spans_per_row) + "; clip and sort them");
    }
  }
  check_span("always-kept keys", d.always, d.keys);
  check_span("always-kept rows", d.always_rows, d.queries);
  const ListBlocks blocks = list_blocks(d);
  check_lists(d, blocks);
  if (!d.valid_keys.empty() && d.valid_keys.size() != static_cast<std::size_t>(blocks_of(d.keys))) {
    refuse("expected " + std::to_string(blocks_of(d.keys)) + " words of valid keys, got " + std::to_string(d.valid_keys.size()) +
           "; give one bit a key");
  }
  return blocks;
}

/// The pairs of one query block: 64 words for each key block, and which key
/// blocks have any.
class PairBits {
 public:
  explicit PairBits(int key_blocks)
      : touched_(static_cast<std::size_t>(key_blocks)), words_(static_cast<std::size_t>(key_blocks) * kBlockTokens) {}

  void add(int first_row, int last_row, std::int64_t begin, std::int64_t end) {
    if (begin >= end) return;
    const int last = static_cast<int>((end - 1) / kBlockTokens);
    for (int block = static_cast<int>(begin / kBlockTokens); block <= last; ++block) {
      const std::uint64_t bits = span_bits(begin, end, block);
      std::uint64_t* words = words_.data() + static_cast<std::size_t>(block) * kBlockTokens;
      for (int row = first_row; row < last_row; ++row) words[row] |= bits;
      touched_[block] = 1;
    }
  }
  /// Calls use(block, its 64 words) for the blocks that have any, ascending,
  /// and forgets them.
  template <typename Use>
  void take(const Use& use) {
    for (std::size_t block = 0; block < touched_.size(); ++block) {
      if (!touched_[block]) continue;
      std::uint64_t* words = words_.data() + block * kBlockTokens;
      use(static_cast<std::int32_t>(block), words);
      std::fill_n(words, kBlockTokens, std::uint64_t{0});
      touched_[block] = 0;
    }
  }

 private:
  std::vector<char> touched_;
  std::vector<std::uint64_t> words_;
};

/// Adds what a list keeps in the 64 queries from `first` on.
void add_list(const MaskDescription& d, const ListBlocks& blocks, int list, std::int64_t first, int rows, PairBits& pairs) {
  const std::size_t of_list = static_cast<std::size_t>(list) * blocks.query_blocks;
  const std::int32_t* query_bounds = d.query_bounds.data() + static_cast<std::size_t>(list) * (blocks.query_blocks + 1);
  const std::int32_t* key_bounds = d.key_bounds.data() + static_cast<std::size_t>(list) * (blocks.key_blocks + 1);
  std::size_t m = blocks.variable
                      ? std::upper_bound(query_bounds, query_bounds + blocks.query_blocks + 1, first) - query_bounds - 1
                      : static_cast<std::size_t>(first / d.list_block_tokens);
  for (; m < blocks.query_blocks; ++m) {
    const std::int64_t block_first = blocks.variable ? query_bounds[m] : static_cast<std::int64_t>(m) * d.list_block_tokens;
    const std::int64_t block_last = blocks.variable ? query_bounds[m + 1] : block_first + d.list_block_tokens;
    if (block_first >= first + rows) break;
    const int begin = static_cast<int>(std::max(block_first - first, std::int64_t{0}));
    const int end = static_cast<int>(std::min<std::int64_t>(block_last - first, rows));
    for (std::int64_t i = d.block_offsets[of_list + m]; i < d.block_offsets[of_list + m + 1]; ++i) {
      const std::int64_t n = d.key_blocks[static_cast<std::size_t>(i)];
      if (blocks.variable)
        pairs.add(begin, end, key_bounds[n], key_bounds[n + 1]);
      else
        pairs.add(begin, end, n * d.list_block_tokens, std::min((n + 1) * d.list_block_tokens, d.keys));
    }
  }
}

}  // namespace

void BlockMask::set_sizes(std::int64_t queries, std::int64_t keys, int lists) {
  queries_ = queries;
  keys_ = keys;
  query_blocks_ = blocks_of(queries);
  key_blocks_ = blocks_of(keys);
  lists_ = lists;
  bits_of_block_.assign(static_cast<std::size_t>(key_blocks_), kWhole);
}

std::uint64_t BlockMask::allowed(int key_block) const {
  const std::uint64_t exist = span_bits(0, keys_, key_block);
  return valid_keys_.empty() ? exist : exist & valid_keys_[static_cast<std::size_t>(key_block)];
}

int BlockMask::rows_of(int query_block) const {
  return static_cast<int>(std::min<std::int64_t>(kBlockTokens, queries_ - std::int64_t{query_block} * kBlockTokens));
}

/// Appends a visit of the pairs `rows`, already limited to allowed keys.
void BlockMask::append_rows(std::int32_t key_block, int query_block, const std::uint64_t* rows) {
  std::uint64_t any = 0, every = kAll;
  for (int r = 0; r < rows_of(query_block); ++r) {
    any |= rows[r];
    every &= rows[r];
  }
  if (any == 0) return;
  if (every == allowed(key_block)) return append_block(key_block, query_block);
  for (int r = 0; r < rows_of(query_block); ++r) kept_pairs_ += std::popcount(rows[r]);
  visits_.push_back({key_block, static_cast<std::int32_t>(bits_.size() / kBlockTokens)});
  bits_.insert(bits_.end(), rows, rows + kBlockTokens);
}

/// Appends a visit of every allowed key by every row. Rows beyond the end are
/// never written back: they may compute anything.
void BlockMask::append_block(std::int32_t key_block, int query_block) {
  const std::uint64_t keys = allowed(key_block);
  if (keys == 0) return;
  kept_pairs_ += static_cast<double>(rows_of(query_block)) * std::popcount(keys);
  std::int32_t& bits = bits_of_block_[static_cast<std::size_t>(key_block)];
  if (keys != kAll && bits == kWhole) {
    bits = static_cast<std::int32_t>(bits_.size() / kBlockTokens);
    bits_.insert(bits_.end(), kBlockTokens, keys);
  }
  visits_.push_back({key_block, bits});
}

/// A counting sort, stable, so that neighbours stay neighbours.
void BlockMask::sort_by_visits() {
  order_.resize(static_cast<std::size_t>(lists_) * query_blocks_);
  std::vector<std::int32_t> begin;
  for (int list = 0; list < lists_; ++list) {
    begin.assign(static_cast<std::size_t>(key_blocks_) + 2, 0);
    const auto rank = [&](int m) {
      return static_cast<std::size_t>(key_blocks_ - (visits_end(list, m) - visits_begin(list, m)));
    };
    for (int m = 0; m < query_blocks_; ++m) ++begin[rank(m) + 1];
    for (std::size_t i = 1; i < begin.size(); ++i) begin[i] += begin[i - 1];
    for (int m = 0; m < query_blocks_; ++m) order_[index(list, begin[rank(m)]++)] = m;
  }
}

BlockMask::BlockMask(const MaskDescription& d) {
  const ListBlocks blocks = check(d);
  set_sizes(d.queries, d.keys, std::max(d.lists, 1));
  list_of_head_ = d.list_of_head;
  valid_keys_ = d.valid_keys;
  offsets_.reserve(static_cast<std::size_t>(lists_) * query_blocks_ + 1);
  const bool only_lists = d.spans_per_row == 0 && d.always.begin == d.always.end && d.always_rows.begin == d.always_rows.end;
  if (only_lists && !blocks.variable && d.list_block_tokens == kBlockTokens) {
    visits_.reserve(d.key_blocks.size());
    for (int row = 0; row < lists_ * query_blocks_; ++row) {
      for (std::int64_t i = d.lists > 0 ? d.block_offsets[row] : 0; d.lists > 0 && i < d.block_offsets[row + 1]; ++i)
        append_block(d.key_blocks[static_cast<std::size_t>(i)], row % query_blocks_);
      close_query_block();
    }
    sort_by_visits();
    return;
  }
  PairBits pairs(key_blocks_);
  for (int list = 0; list < lists_; ++list) {
    for (int m = 0; m < query_blocks_; ++m) {
      const std::int64_t first = std::int64_t{m} * kBlockTokens;
      const int rows = rows_of(m);
      pairs.add(0, rows, d.always.begin, d.always.end);
      pairs.add(static_cast<int>(std::clamp<std::int64_t>(d.always_rows.begin - first, 0, rows)),
                static_cast<int>(std::clamp<std::int64_t>(d.always_rows.end - first, 0, rows)), 0, keys_);
      for (int r = 0; r < rows; ++r) {
        const TokenSpan* spans = d.spans.data() + static_cast<std::size_t>(first + r) * d.spans_per_row;
        for (int s = 0; s < d.spans_per_row; ++s) pairs.add(r, r + 1, spans[s].begin, spans[s].end);
      }
      if (d.lists > 0) add_list(d, blocks, list, first, rows, pairs);
      pairs.take([&](std::int32_t n, std::uint64_t* words) {
        const std::uint64_t allowed_keys = allowed(n);
        for (int r = 0; r < rows; ++r) words[r] &= allowed_keys;
        append_rows(n, m, words);
      });
      close_query_block();
    }
  }
  sort_by_visits();
}

BlockMask BlockMask::dense(std::int64_t queries, std::int64_t keys) {
  check_sizes(queries, keys);
  BlockMask mask;
  mask.set_sizes(queries, keys, 1);
  mask.visits_.reserve(static_cast<std::size_t>(mask.query_blocks_) * mask.key_blocks_);
  for (int m = 0; m < mask.query_blocks_; ++m) {
    for (int n = 0; n < mask.key_blocks_; ++n) mask.append_block(n, m);
    mask.close_query_block();
  }
  mask.sort_by_visits();
  return mask;
}

BlockMask BlockMask::complement() const {
  BlockMask rest;
  rest.set_sizes(queries_, keys_, lists_);
  rest.list_of_head_ = list_of_head_;
  rest.valid_keys_ = valid_keys_;
  std::uint64_t rows[kBlockTokens] = {};
  for (int list = 0; list < lists_; ++list) {
    for (int m = 0; m < query_blocks_; ++m) {
      const Visit* visit = visits_begin(list, m);
      for (int n = 0; n < key_blocks_; ++n) {
        if (visit == visits_end(list, m) || visit->key_block != n) {
          rest.append_block(n, m);
          continue;
        }
        if (visit->bits != kWhole) {
          for (int r = 0; r < rows_of(m); ++r) rows[r] = allowed(n) & ~row_bits(visit->bits)[r];
          rest.append_rows(n, m, rows);
        }
        ++visit;
      }
      rest.close_query_block();
    }
  }
  rest.sort_by_visits();
  return rest;
}

bool BlockMask::keeps(std::int64_t head, std::int64_t query, std::int64_t key) const {
  const int list = list_of_head(head), m = static_cast<int>(query / kBlockTokens);
  const auto n = static_cast<std::int32_t>(key / kBlockTokens);
  const Visit* end = visits_end(list, m);
  const Visit* visit =
      std::lower_bound(visits_begin(list, m), end, n, [](const Visit& v, std::int32_t block) { return v.key_block < block; });
  if (visit == end || visit->key_block != n) return false;
  return visit->bits == kWhole || ((row_bits(visit->bits)[query % kBlockTokens] >> (key % kBlockTokens)) & 1);
}

std::int64_t BlockMask::kept_pairs(int list) const {
  std::int64_t pairs = 0;
  for (int m = 0; m < query_blocks_; ++m) {
    const std::int64_t rows = std::min<std::int64_t>(kBlockTokens, queries_ - std::int64_t{m} * kBlockTokens);
    for (const Visit* visit = visits_begin(list, m); visit != visits_end(list, m); ++visit) {
      if (visit->bits == kWhole) {
        pairs += rows * kBlockTokens;
        continue;
      }
      for (std::int64_t r = 0; r < rows; ++r) pairs += std::popcount(row_bits(visit->bits)[r]);
    }
  }
  return pairs;
}

double BlockMask::kept_ratio() const {
  const double pairs = static_cast<double>(queries_) * static_cast<double>(keys_);
  if (pairs == 0) return 1;
  if (list_of_head_.empty()) return static_cast<double>(kept_pairs(0)) / pairs;
  double kept = 0;
  std::vector<std::int64_t> of_list(static_cast<std::size_t>(lists_), -1);
  for (const std::int32_t list : list_of_head_) {
    if (of_list[list] < 0) of_list[list] = kept_pairs(list);
    kept += static_cast<double>(of_list[list]);
  }
  return kept / (pairs * static_cast<double>(list_of_head_.size()));
}

double BlockMask::kept_ratio_blocks() const {
  const double blocks = static_cast<double>(query_blocks_) * key_blocks_;
  if (blocks == 0) return 1;
  double visited = 0;
  const std::size_t heads = std::max<std::size_t>(list_of_head_.size(), 1);
  for (std::size_t h = 0; h < heads; ++h) {
    const int list = list_of_head(static_cast<std::int64_t>(h));
    visited += static_cast<double>(visits_end(list, query_blocks_ - 1) - visits_begin(list, 0));
  }
  return visited / (blocks * static_cast<double>(heads));
}

std::int64_t BlockMask::bytes() const {
  return static_cast<std::int64_t>(offsets_.size() * sizeof(offsets_[0]) + visits_.size() * sizeof(Visit) +
                                   bits_.size() * sizeof(bits_[0]) +
                                   (list_of_head_.size() + order_.size() + bits_of_block_.size()) * sizeof(std::int32_t) +
                                   valid_keys_.size() * sizeof(valid_keys_[0]));
}

}  // namespace ditscope
