#pragma once
#include <algorithm>
#include <random>

#include "kernels/block_mask.h"

namespace ditscope::test {

/// A random mask with bands, text columns, dense rows, empty rows and block lists, none of them aligned to blocks.
inline BlockMask random_mask(std::mt19937& random, int heads, int queries, int keys) {
  MaskDescription d;
  d.queries = queries;
  d.keys = keys;
  d.spans_per_row = 1;
  const int half = static_cast<int>(random() % 40), text = static_cast<int>(random() % std::min(keys, 50));
  const bool empty_rows = random() % 2 == 0;
  if (!empty_rows) d.always = {0, text};
  for (int i = 0; i < queries; ++i) {
    if (i % 29 == 3)
      d.spans.push_back({0, keys});
    else if (empty_rows && i % 5 == 1)
      d.spans.push_back({0, 0});
    else
      d.spans.push_back({std::clamp(i - half, 0, keys), std::clamp(i + half + 1, 0, keys)});
  }
  if (random() % 2 == 0) {
    d.lists = heads;
    d.block_offsets.push_back(0);
    for (int row = 0; row < heads * ((queries + kBlockTokens - 1) / kBlockTokens); ++row) {
      for (int n = 0; n < (keys + kBlockTokens - 1) / kBlockTokens; ++n) {
        if (!empty_rows && random() % 4 == 0) d.key_blocks.push_back(n);
      }
      d.block_offsets.push_back(static_cast<std::int64_t>(d.key_blocks.size()));
    }
    for (int h = 0; h < heads; ++h) d.list_of_head.push_back(heads - 1 - h);
  }
  return BlockMask(d);
}

}  // namespace ditscope::test
