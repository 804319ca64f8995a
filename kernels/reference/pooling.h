#pragma once
#include <cstdint>
#include <vector>

namespace ditscope::reference {

/// Mean, mean absolute deviation and mean pairwise cosine of blocks of tokens, written out pair by pair, in float64.
/// @param x (H,T,D), contiguous @param offsets (N+1)
struct PooledBlocks {
  std::vector<double> mean, deviation, similarity;  // (H,N,D) (H,N,D) (H,N)
};
PooledBlocks pool_blocks(const std::vector<double>& x, int heads, int tokens, int width,
                         const std::vector<std::int64_t>& offsets);

/// weight_j e^{s_ij} / Z_i and the share of the extra keys, in float64.
/// @param queries (H,M,D) @param keys (H,N,D) @param weights (H,N) @param extra_keys (H,E,D)
struct PooledShares {
  std::vector<double> shares, extra_share;  // (H,M,N) (H,M)
};
PooledShares pooled_attention(const std::vector<double>& queries, const std::vector<double>& keys,
                              const std::vector<double>& weights, const std::vector<double>& extra_keys, int heads, int rows,
                              int blocks, int extra, int width, double scale);

}  // namespace ditscope::reference
