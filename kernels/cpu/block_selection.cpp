#include "kernels/block_selection.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <functional>

#include "kernels/cpu/clones.h"
#include "kernels/cpu/parallel.h"
#include "kernels/expect.h"

namespace ditscope {
namespace {

/// Scores as whole numbers of the same order; 0 for what is never kept (-inf, NaN).
using Key = std::uint32_t;

inline __attribute__((always_inline)) Key key_of(float score) {
  const auto bits = std::bit_cast<std::uint32_t>(score == 0 ? 0.0f : score);  // -0 is 0
  const Key key = bits ^ ((0u - (bits >> 31)) | 0x80000000u);
  return score > -std::numeric_limits<float>::infinity() ? key : 0;
}

inline float score_of(Key key) {
  return std::bit_cast<float>(key >> 31 ? key & 0x7fffffffu : ~key);
}

DITSCOPE_VECTOR_CLONES void read_keys(const float* scores, std::int64_t size, Key* keys) {
  for (std::int64_t i = 0; i < size; ++i) keys[i] = key_of(scores[i]);
}

inline __attribute__((always_inline)) std::int64_t count_at_least(const Key* keys, std::int64_t size, Key least) {
  std::int64_t count = 0;
  constexpr std::int64_t kPiece = 1 << 16;  // counted in 32 bits, which vectors hold more of
  for (std::int64_t first = 0; first < size; first += kPiece) {
    const std::int64_t last = std::min(first + kPiece, size);
    std::int32_t piece = 0;
    for (std::int64_t i = first; i < last; ++i) piece += keys[i] >= least;
    count += piece;
  }
  return count;
}

/// In eight lanes, and so in the same order on every machine.
DITSCOPE_VECTOR_CLONES double sum_of(const float* scores, std::int64_t size) {
  constexpr int kLanes = 8;
  double lanes[kLanes] = {};
  std::int64_t i = 0;
  for (; i + kLanes <= size; i += kLanes)
    for (int j = 0; j < kLanes; ++j) lanes[j] += static_cast<double>(scores[i + j]);
  for (; i < size; ++i) lanes[i % kLanes] += static_cast<double>(scores[i]);
  double sum = 0;
  for (const double lane : lanes) sum += lane;
  return sum;
}

/// The largest key of which at least `count` are as large, for 1 <= count <= size. Where few are kept: the largest, then the next
/// one, a vector sweep each. Else one bit after the other, those left out that all keys share.
DITSCOPE_VECTOR_CLONES Key nth_largest(const Key* keys, std::int64_t size, std::int64_t count) {
  constexpr std::int64_t kFew = 6;
  Key smallest = ~Key{0}, largest = 0;
  for (std::int64_t i = 0; i < size; ++i) {
    smallest = std::min(smallest, keys[i]);
    largest = std::max(largest, keys[i]);
  }
  for (Key bound = largest; count <= kFew;) {
    Key next = 0;
    std::int32_t reached = 0;
    for (std::int64_t i = 0; i < size; ++i) {
      reached += keys[i] >= bound;
      next = std::max(next, keys[i] < bound ? keys[i] : 0);
    }
    if (reached >= count || next == 0) return bound;
    if (reached + 1 == count) return next;
    bound = next;
  }
  const int open_bits = std::bit_width(smallest ^ largest);
  Key found = open_bits == 32 ? 0 : largest >> open_bits << open_bits;
  for (int bit = open_bits - 1; bit >= 0; --bit) {
    const Key candidate = found | Key{1} << bit;
    const std::int64_t reached = count_at_least(keys, size, candidate);
    if (reached >= count) found = candidate;
    if (reached == count) {  // exactly these: the smallest of them
      Key least = ~Key{0};
      for (std::int64_t i = 0; i < size; ++i) least = keys[i] >= candidate ? std::min(least, keys[i]) : least;
      return least;
    }
  }
  return found;
}

/// One bit a key, set from `least` on; 64 keys a word. Returns how many.
DITSCOPE_VECTOR_CLONES std::int64_t mark_at_least(const Key* keys, std::int64_t words, Key least, std::uint64_t* marks) {
  std::int64_t count = 0;
  for (std::int64_t word = 0; word < words; ++word) {
    alignas(64) std::uint8_t flags[64];
    for (int i = 0; i < 64; ++i) flags[i] = keys[word * 64 + i] >= least;
    std::uint64_t mark = 0;
    for (int i = 0; i < 8; ++i) {  // eight bytes of 0 or 1 to eight bits by one product
      std::uint64_t bytes;
      std::memcpy(&bytes, flags + 8 * i, 8);
      if constexpr (std::endian::native == std::endian::big) bytes = __builtin_bswap64(bytes);
      mark |= (bytes * 0x0102040810204080u >> 56) << (8 * i);
    }
    marks[word] = mark;
    count += std::popcount(mark);
  }
  return count;
}

/// How many leading scores sum to at most `limit`. One bit of the keys after the other splits the open scores into higher and
/// lower ones: either all higher ones are within the limit, or no lower one is; the rest goes on. Few are added one by one.
std::int64_t count_within(const std::vector<Key>& keys, double limit) {
  constexpr std::size_t kFew = 12;
  static thread_local std::vector<Key> open, high, low;
  open.clear();
  Key in_all = ~Key{0}, in_any = 0;
  for (const Key key : keys) {
    if (key == 0) continue;
    open.push_back(key);
    in_all &= key;
    in_any |= key;
  }
  high.resize(open.size());
  low.resize(open.size());
  double sum = 0;
  std::int64_t count = 0;
  for (int bit = std::bit_width(in_all ^ in_any) - 1; bit >= 0 && open.size() > kFew; --bit) {
    std::size_t highs = 0, lows = 0;
    double high_sums[4] = {};  // so that no addition waits for the one before
    for (std::size_t i = 0; i < open.size(); ++i) {
      const Key key = open[i];
      const bool is_high = key >> bit & 1;
      high[highs] = key;
      low[lows] = key;
      highs += is_high;
      lows += !is_high;
      high_sums[i % 4] += is_high ? static_cast<double>(score_of(key)) : 0.0;
    }
    const double high_sum = (high_sums[0] + high_sums[1]) + (high_sums[2] + high_sums[3]);
    const bool within = sum + high_sum <= limit;
    if (within) {
      sum += high_sum;
      count += static_cast<std::int64_t>(highs);
    }
    const std::vector<Key>& rest = within ? low : high;
    open.assign(rest.begin(), rest.begin() + static_cast<std::ptrdiff_t>(within ? lows : highs));
  }
  std::sort(open.begin(), open.end(), std::greater<>());  // few, or all equal
  for (const Key key : open) {
    sum += static_cast<double>(score_of(key));
    if (sum > limit) break;
    ++count;
  }
  return count;
}

/// One row of scores side by side, with its extra score last, and their keys.
struct ScoreRow {
  std::vector<float> memory;
  std::vector<Key> keys;  ///< and zeros up to a multiple of 64
  const float* scores = nullptr;
  std::int64_t size = 0;

  void read(const float* from, std::int64_t stride, std::int64_t blocks, const float* extra) {
    size = blocks + (extra ? 1 : 0);
    scores = from;
    if (stride != 1 || extra) {
      memory.resize(static_cast<std::size_t>(size));
      for (std::int64_t n = 0; n < blocks; ++n) memory[static_cast<std::size_t>(n)] = from[n * stride];
      if (extra) memory.back() = *extra;
      scores = memory.data();
    }
    keys.resize(static_cast<std::size_t>((size + 63) / 64 * 64));
    read_keys(scores, size, keys.data());
    std::fill(keys.begin() + size, keys.end(), 0);
  }
  /// Of the scores that may be kept.
  double total() {
    if (scores != memory.data()) memory.assign(scores, scores + size);
    for (std::int64_t n = 0; n < size; ++n) {
      if (keys[static_cast<std::size_t>(n)] == 0) memory[static_cast<std::size_t>(n)] = 0;
    }
    scores = memory.data();
    return sum_of(scores, size);
  }
};

void select_row(ScoreRow& row, const RowRule& rule, std::int64_t blocks, std::uint64_t* bits) {
  const std::int64_t size = row.size, words = (blocks + 63) / 64;
  std::int64_t count = rule.least;
  if (rule.mass_ratio >= 0) {
    const double total = row.total();
    count = count_within(row.keys, rule.mass_ratio * total) + (rule.crossing == Crossing::Included ? 1 : 0);
    count = std::clamp(count, rule.least, std::max(rule.least, rule.most));
  }
  if (count <= 0 || size == 0) return;
  const Key* keys = row.keys.data();
  const Key last = count >= size ? Key{1} : std::max(nth_largest(keys, size, count), Key{1});
  static thread_local std::vector<std::uint64_t> marks;
  marks.resize(static_cast<std::size_t>(words));
  std::int64_t too_many = mark_at_least(keys, words, last, marks.data()) - count;
  if (blocks % 64 != 0) marks.back() &= (std::uint64_t{1} << (blocks % 64)) - 1;  // without the extra score, which may be there
  if (size > words * 64) too_many += keys[words * 64] >= last;                    // or is not
  if (size > blocks && keys[blocks] == last) --too_many;  // the last of its equals: it gives way before any block does
  for (std::int64_t n = blocks - 1; too_many > 0 && !rule.keep_ties; --n) {
    if (keys[n] != last) continue;
    marks[static_cast<std::size_t>(n / 64)] &= ~(std::uint64_t{1} << (n % 64));
    --too_many;
  }
  for (std::int64_t word = 0; word < words; ++word) bits[word] |= marks[static_cast<std::size_t>(word)];
}

void expect_scores(const HostView<const float, 3>& scores, const BlockSelection& selection) {
  expect_view("scores", scores, {selection.heads(), selection.query_blocks(), selection.key_blocks()}, true);
}

void expect_per_head(const char* name, std::size_t count, std::int64_t heads) {
  expect(count == 1 || static_cast<std::int64_t>(count) == heads, "expected 1 or " + std::to_string(heads) + " " + name +
                                                                      ", got " + std::to_string(count) +
                                                                      "; give one for all or one a head");
}

}  // namespace

void select_rows(const HostView<const float, 3>& scores, const HostView<const float, 2>& extra, const std::vector<RowRule>& rules,
                 BlockSelection& selection, const Workers& workers) {
  expect_scores(scores, selection);
  const std::int64_t heads = selection.heads(), rows = selection.query_blocks(), blocks = selection.key_blocks();
  expect_view("extra", extra, {heads, rows}, false);
  expect_per_head("rules", rules.size(), heads);
  for (const RowRule& rule : rules) {
    expect(rule.least >= 0 && rule.most >= 0, "expected row rules that keep 0 or more blocks, got " + std::to_string(rule.least) +
                                                  " to " + std::to_string(rule.most) + "; check the budget");
  }
  constexpr std::int64_t kPiece = 16;
  const std::int64_t pieces = (rows + kPiece - 1) / kPiece;
  cpu::parallel_for(workers, heads * pieces, [&](std::int64_t i) {
    static thread_local ScoreRow row;
    const std::int64_t head = i / pieces;
    const RowRule& rule = rules[rules.size() == 1 ? 0 : static_cast<std::size_t>(head)];
    for (std::int64_t m = i % pieces * kPiece; m < std::min((i % pieces + 1) * kPiece, rows); ++m) {
      row.read(scores.data + head * scores.stride[0] + m * scores.stride[1], scores.stride[2], blocks,
               extra.data ? extra.data + head * extra.stride[0] + m * extra.stride[1] : nullptr);
      select_row(row, rule, blocks, selection.row(head, m));
    }
  });
}

void select_global(const HostView<const float, 3>& scores, const std::vector<std::int64_t>& skipped, BlockSelection& selection,
                   const Workers& workers) {
  expect_scores(scores, selection);
  const std::int64_t heads = selection.heads(), rows = selection.query_blocks(), blocks = selection.key_blocks();
  const std::int64_t size = rows * blocks;
  expect_per_head("numbers of skipped blocks", skipped.size(), heads);
  for (const std::int64_t count : skipped) {
    expect(count >= 0 && count <= size,
           "expected 0 to " + std::to_string(size) + " skipped blocks, got " + std::to_string(count) + "; check the budget");
  }
  cpu::parallel_for(workers, heads, [&](std::int64_t head) {
    std::vector<Key> keys(static_cast<std::size_t>(size));
    for (std::int64_t i = 0; i < size; ++i)
      keys[static_cast<std::size_t>(i)] =
          key_of(scores.data[head * scores.stride[0] + i / blocks * scores.stride[1] + i % blocks * scores.stride[2]]);
    const std::int64_t skip = skipped[skipped.size() == 1 ? 0 : static_cast<std::size_t>(head)];
    const Key least = skip == 0 || size == 0 ? 1 : std::max(nth_largest(keys.data(), size, size - skip + 1), Key{1});
    for (std::int64_t i = 0; i < size; ++i) {
      if (keys[static_cast<std::size_t>(i)] >= least) selection.keep(head, i / blocks, i % blocks);
    }
  });
}

void select_threshold(const HostView<const float, 3>& scores, float threshold, BlockSelection& selection) {
  expect_scores(scores, selection);
  for (std::int64_t h = 0; h < selection.heads(); ++h)
    for (std::int64_t m = 0; m < selection.query_blocks(); ++m)
      for (std::int64_t n = 0; n < selection.key_blocks(); ++n) {
        if (scores.data[h * scores.stride[0] + m * scores.stride[1] + n * scores.stride[2]] >= threshold) selection.keep(h, m, n);
      }
}

std::vector<double> kept_mass_ratio(const HostView<const float, 3>& scores, const BlockSelection& selection,
                                    const Workers& workers) {
  expect_scores(scores, selection);
  std::vector<double> ratios(static_cast<std::size_t>(selection.heads()), 1.0);
  cpu::parallel_for(workers, selection.heads(), [&](std::int64_t h) {
    double kept = 0, all = 0;
    for (std::int64_t m = 0; m < selection.query_blocks(); ++m)
      for (std::int64_t n = 0; n < selection.key_blocks(); ++n) {
        const double score = static_cast<double>(scores.data[h * scores.stride[0] + m * scores.stride[1] + n * scores.stride[2]]);
        all += score;
        if (selection.keeps(h, m, n)) kept += score;
      }
    if (all != 0) ratios[static_cast<std::size_t>(h)] = kept / all;
  });
  return ratios;
}

}  // namespace ditscope
