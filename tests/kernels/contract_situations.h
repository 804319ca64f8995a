#pragma once
#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <functional>
#include <vector>

#include "kernels/block_mask.h"
#include "kernels/grid_window.h"

// What the contracts of the kernels are tried on.
namespace ditscope::test {

using Keeps = std::function<bool(int h, int i, int j)>;

/// What is kept is said twice: as a description for the kernels, and pair by pair for the oracle.
struct Situation {
  const char* name;
  int heads, width;
  MaskDescription mask;
  Keeps keeps;
  bool outliers = false, strided = false;
};

inline void add_text(MaskDescription& d, int text_begin, int tokens) {
  d.always = d.always_rows = {text_begin, tokens};
}

/// The same window of tokens in every frame, for text after the frames everything; the frames end inside a block.
inline Situation periodic_band() {
  constexpr int kFrames = 3, kFrameTokens = 61, kHalf = 5, kVideo = kFrames * kFrameTokens, kTokens = kVideo + 28;
  MaskDescription d;
  d.queries = d.keys = kTokens;
  d.spans_per_row = kFrames;
  for (int i = 0; i < kTokens; ++i)
    for (int f = 0; f < kFrames; ++f) {
      const int site = i % kFrameTokens, first = f * kFrameTokens;
      if (i < kVideo)
        d.spans.push_back({first + std::max(site - kHalf, 0), first + std::min(site + kHalf + 1, kFrameTokens)});
      else
        d.spans.push_back({first, first});
    }
  add_text(d, kVideo, kTokens);
  return {"a band with periods and text", 2, 72, d, [](int, int i, int j) {
            return i >= kVideo || j >= kVideo || std::abs(i % kFrameTokens - j % kFrameTokens) <= kHalf;
          }};
}

inline Situation window_3d() {
  constexpr int kFrames = 4, kRows = 5, kColumns = 7, kText = 9;
  const MaskDescription d = grid_window({kFrames, kRows, kColumns}, {1, 1, 2, WindowEdge::Cut},
                                        {GridAxis::Frames, GridAxis::Rows, GridAxis::Columns}, kText, true);
  return {"a 3-D window after text", 1, 88, d, [](int, int i, int j) {
            if (i < kText || j < kText) return true;
            const auto axes = [](int t) { return std::array{t / (kRows * kColumns), t / kColumns % kRows, t % kColumns}; };
            const auto a = axes(i - kText), b = axes(j - kText);
            return std::abs(a[0] - b[0]) <= 1 && std::abs(a[1] - b[1]) <= 1 && std::abs(a[2] - b[2]) <= 2;
          }};
}

/// Block lists of some block size, a list a head; `bounds` for blocks of any size.
inline MaskDescription lists(int heads, int queries, int keys, const std::vector<int>& query_bounds, const std::vector<int>& key_bounds,
                      const Keeps& keeps_block) {
  MaskDescription d;
  d.queries = queries;
  d.keys = keys;
  d.lists = heads;
  d.block_offsets = {0};
  for (int h = 0; h < heads; ++h) {
    d.list_of_head.push_back(h);
    d.query_bounds.insert(d.query_bounds.end(), query_bounds.begin(), query_bounds.end());
    d.key_bounds.insert(d.key_bounds.end(), key_bounds.begin(), key_bounds.end());
    for (std::size_t m = 0; m + 1 < query_bounds.size(); ++m) {
      for (std::size_t n = 0; n + 1 < key_bounds.size(); ++n)
        if (keeps_block(h, static_cast<int>(m), static_cast<int>(n))) d.key_blocks.push_back(static_cast<int>(n));
      d.block_offsets.push_back(static_cast<std::int64_t>(d.key_blocks.size()));
    }
  }
  return d;
}

inline bool scattered(int h, int m, int n) {
  return (3 * m + 5 * n + h) % 4 == 0;
}

inline Situation uniform_lists(const char* name, int block, int width, bool columns) {
  constexpr int kQueries = 211, kKeys = 307;
  std::vector<int> query_bounds, key_bounds;
  for (int t = 0; t < kQueries; t += block) query_bounds.push_back(t);
  for (int t = 0; t < kKeys; t += block) key_bounds.push_back(t);
  query_bounds.push_back(kQueries);
  key_bounds.push_back(kKeys);
  MaskDescription d = lists(2, kQueries, kKeys, query_bounds, key_bounds, scattered);
  d.query_bounds.clear();
  d.key_bounds.clear();
  d.list_block_tokens = block;
  const int column = columns ? 290 : kKeys, row = columns ? 200 : kQueries;
  if (columns) {
    d.always = {column, kKeys};
    d.always_rows = {row, kQueries};
  }
  return {name, 2, width, d, [=](int h, int i, int j) { return i >= row || j >= column || scattered(h, i / block, j / block); }};
}

inline Situation variable_blocks() {
  const std::vector<int> query_bounds{0, 17, 17, 80, 143}, key_bounds{0, 64, 70, 131, 199};
  const auto block_of = [](const std::vector<int>& bounds, int t) {
    return static_cast<int>(std::upper_bound(bounds.begin(), bounds.end(), t) - bounds.begin()) - 1;
  };
  return {"blocks of any size", 2, 64, lists(2, 143, 199, query_bounds, key_bounds, scattered),
          [=](int h, int i, int j) { return scattered(h, block_of(query_bounds, i), block_of(key_bounds, j)); }};
}

/// Spans of one interval a row.
inline Situation spans(const char* name, int heads, int queries, int keys, int width, const std::function<TokenSpan(int i)>& span) {
  MaskDescription d;
  d.queries = queries;
  d.keys = keys;
  d.spans_per_row = 1;
  for (int i = 0; i < queries; ++i) d.spans.push_back(span(i));
  return {name, heads, width, d, [span](int, int i, int j) { return j >= span(i).begin && j < span(i).end; }};
}

inline Situation padded_keys() {
  Situation s = spans("padded keys", 2, 97, 181, 40, [](int) { return TokenSpan{0, 181}; });
  s.mask.valid_keys.assign(3, 0);
  for (int j = 0; j < 181; ++j)
    s.mask.valid_keys[static_cast<std::size_t>(j / 64)] |= std::uint64_t{j % 5 != 2 && j < 170} << (j % 64);
  s.keeps = [](int, int, int j) { return j % 5 != 2 && j < 170; };
  return s;
}

inline std::vector<Situation> situations() {
  const auto whole = [](int keys) { return [keys](int) { return TokenSpan{0, keys}; }; };
  std::vector<Situation> all{periodic_band(), window_3d(), uniform_lists("lists of 64", 64, 128, false),
                             uniform_lists("lists of 128", 128, 8, false), uniform_lists("lists, columns and rows", 64, 32, true),
                             variable_blocks(), padded_keys(),
                             spans("full rows", 1, 127, 129, 96, whole(129)),
                             spans("one token", 1, 1, 1, 16, whole(1)),
                             spans("one query", 2, 1, 131, 256, whole(131)),
                             spans("one key", 2, 131, 1, 200, whole(1)),
                             spans("empty rows", 2, 137, 139, 80, [](int i) {
                               return i % 3 == 0 ? TokenSpan{0, 0} : TokenSpan{i / 2, i / 2 + 31};
                             }),
                             spans("one dense row among sparse ones", 1, 149, 331, 24, [](int i) {
                               return i == 77 ? TokenSpan{0, 331} : TokenSpan{i, i + 2};
                             }),
                             spans("outliers", 1, 103, 151, 64, [](int i) { return TokenSpan{0, 151 - i / 2}; }),
                             spans("rows apart in memory", 2, 83, 101, 56, [](int i) { return TokenSpan{i / 3, 101}; })};
  all[all.size() - 2].outliers = true;
  all.back().strided = true;
  return all;
}

}  // namespace ditscope::test
