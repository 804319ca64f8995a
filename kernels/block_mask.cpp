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

void check(const MaskDescription& d) {
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
  if (d.always.begin < 0 || d.always.end > d.keys || d.always.begin > d.always.end) {
    refuse("expected always-kept keys within 0.." + std::to_string(d.keys) + ", got [" + std::to_string(d.always.begin) + ", " +
           std::to_string(d.always.end) + "); clip them");
  }
  const std::size_t rows = static_cast<std::size_t>(std::max(d.lists, 0)) * blocks_of(d.queries);
  if (d.lists < 0 || (d.lists > 0 && d.block_offsets.size() != rows + 1) || (d.lists == 0 && !d.key_blocks.empty())) {
    refuse("expected lists x query blocks + 1 = " + std::to_string(rows + 1) + " block offsets, got " +
           std::to_string(d.block_offsets.size()) + "; give every query block a list");
  }
  for (std::size_t row = 0; row < rows; ++row) {
    const std::int64_t begin = d.block_offsets[row], end = d.block_offsets[row + 1];
    bool good = begin >= 0 && begin <= end && end <= static_cast<std::int64_t>(d.key_blocks.size());
    for (std::int64_t i = begin; good && i < end; ++i) {
      const std::int32_t block = d.key_blocks[static_cast<std::size_t>(i)];
      good = block >= 0 && block < blocks_of(d.keys) && (i == begin || block > d.key_blocks[static_cast<std::size_t>(i) - 1]);
    }
    if (!good)
      refuse("expected ascending key blocks below " + std::to_string(blocks_of(d.keys)) + " in block list row " +
             std::to_string(row) + ", got others; sort them and drop duplicates");
  }
  for (const std::int32_t list : d.list_of_head) {
    if (list < 0 || list >= std::max(d.lists, 1))
      refuse("expected lists 0.." + std::to_string(std::max(d.lists, 1) - 1) + " in list_of_head, got " + std::to_string(list) +
             "; point at one that exists");
  }
  if (!d.valid_keys.empty() && d.valid_keys.size() != static_cast<std::size_t>(blocks_of(d.keys))) {
    refuse("expected " + std::to_string(blocks_of(d.keys)) + " words of valid keys, got " + std::to_string(d.valid_keys.size()) +
           "; give one bit a key");
  }
}

/// Marks the key blocks that a span touches.
void touch(std::vector<char>& touched, std::int64_t begin, std::int64_t end) {
  if (begin >= end) return;
  std::fill(touched.begin() + begin / kBlockTokens, touched.begin() + (end - 1) / kBlockTokens + 1, char{1});
}

}  // namespace

void BlockMask::append(std::int32_t key_block, int query_block, const std::uint64_t (&rows)[kBlockTokens]) {
  const int row_count =
      static_cast<int>(std::min<std::int64_t>(kBlockTokens, queries_ - std::int64_t{query_block} * kBlockTokens));
  std::uint64_t any = 0, every = kAll;
  for (int r = 0; r < row_count; ++r) {
    any |= rows[r];
    every &= rows[r];
    kept_pairs_ += std::popcount(rows[r]);
  }
  if (any == 0) return;
  if (every == kAll) {  // rows beyond the end are never written back, so they may compute anything
    visits_.push_back({key_block, kWhole});
    return;
  }
  visits_.push_back({key_block, static_cast<std::int32_t>(bits_.size() / kBlockTokens)});
  bits_.insert(bits_.end(), rows, rows + kBlockTokens);
}

BlockMask::BlockMask(const MaskDescription& d)
    : queries_(d.queries),
      keys_(d.keys),
      query_blocks_(blocks_of(d.queries)),
      key_blocks_(blocks_of(d.keys)),
      lists_(std::max(d.lists, 1)),
      list_of_head_(d.list_of_head) {
  check(d);
  std::vector<char> touched(static_cast<std::size_t>(key_blocks_)), listed(static_cast<std::size_t>(key_blocks_));
  std::uint64_t rows[kBlockTokens];
  for (int list = 0; list < lists_; ++list) {
    for (int m = 0; m < query_blocks_; ++m) {
      std::fill(touched.begin(), touched.end(), char{0});
      std::fill(listed.begin(), listed.end(), char{0});
      const std::int64_t first = std::int64_t{m} * kBlockTokens, last = std::min<std::int64_t>(first + kBlockTokens, queries_);
      touch(touched, d.always.begin, d.always.end);
      for (std::int64_t i = first * d.spans_per_row; i < last * d.spans_per_row; ++i) {
        touch(touched, d.spans[static_cast<std::size_t>(i)].begin, d.spans[static_cast<std::size_t>(i)].end);
      }
      if (d.lists > 0) {
        for (std::int64_t i = d.block_offsets[index(list, m)]; i < d.block_offsets[index(list, m) + 1]; ++i) {
          touched[d.key_blocks[static_cast<std::size_t>(i)]] = listed[d.key_blocks[static_cast<std::size_t>(i)]] = 1;
        }
      }
      for (int n = 0; n < key_blocks_; ++n) {
        if (!touched[n]) continue;
        const std::uint64_t allowed = span_bits(0, keys_, n) & (d.valid_keys.empty() ? kAll : d.valid_keys[n]);
        const std::uint64_t shared = listed[n] ? kAll : span_bits(d.always.begin, d.always.end, n);
        for (int r = 0; r < kBlockTokens; ++r) {
          rows[r] = first + r < last ? shared : 0;
          for (std::int64_t s = 0; first + r < last && s < d.spans_per_row; ++s) {
            const TokenSpan span = d.spans[static_cast<std::size_t>((first + r) * d.spans_per_row + s)];
            rows[r] |= span_bits(span.begin, span.end, n);
          }
          rows[r] &= allowed;
        }
        append(n, m, rows);
      }
      close_query_block();
    }
  }
}

BlockMask BlockMask::dense(std::int64_t queries, std::int64_t keys) {
  check_sizes(queries, keys);
  BlockMask mask;
  mask.queries_ = queries;
  mask.keys_ = keys;
  mask.query_blocks_ = blocks_of(queries);
  mask.key_blocks_ = blocks_of(keys);
  mask.lists_ = 1;
  mask.kept_pairs_ = static_cast<double>(queries) * static_cast<double>(keys);
  const int whole_blocks = static_cast<int>(keys / kBlockTokens);
  if (whole_blocks < mask.key_blocks_) mask.bits_.assign(kBlockTokens, span_bits(0, keys, whole_blocks));  // one tail for all
  for (int m = 0; m < mask.query_blocks_; ++m) {
    for (int n = 0; n < mask.key_blocks_; ++n) mask.visits_.push_back({n, n < whole_blocks ? kWhole : 0});
    mask.close_query_block();
  }
  return mask;
}

BlockMask BlockMask::complement() const {
  BlockMask rest;
  rest.queries_ = queries_;
  rest.keys_ = keys_;
  rest.query_blocks_ = query_blocks_;
  rest.key_blocks_ = key_blocks_;
  rest.lists_ = lists_;
  rest.list_of_head_ = list_of_head_;
  std::uint64_t rows[kBlockTokens];
  for (int list = 0; list < lists_; ++list) {
    for (int m = 0; m < query_blocks_; ++m) {
      const Visit* visit = visits_begin(list, m);
      for (int n = 0; n < key_blocks_; ++n) {
        const std::uint64_t* kept = nullptr;
        bool whole = false;
        if (visit != visits_end(list, m) && visit->key_block == n) {
          whole = visit->bits == kWhole;
          kept = whole ? nullptr : row_bits(visit->bits);
          ++visit;
        }
        if (whole) continue;
        for (int r = 0; r < kBlockTokens; ++r) {
          rows[r] = std::int64_t{m} * kBlockTokens + r < queries_ ? span_bits(0, keys_, n) & ~(kept ? kept[r] : 0) : 0;
        }
        rest.append(n, m, rows);
      }
      rest.close_query_block();
    }
  }
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
                                   bits_.size() * sizeof(bits_[0]) + list_of_head_.size() * sizeof(std::int32_t));
}

}  // namespace ditscope
