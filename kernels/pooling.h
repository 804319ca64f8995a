#pragma once
#include <vector>

#include "kernels/block_sparse_attention.h"
#include "kernels/tensor_view.h"

namespace ditscope {

/// First tokens of blocks of `block_tokens`, and the end: the last block holds what is left.
std::vector<std::int64_t> block_offsets(std::int64_t tokens, std::int64_t block_tokens);

/// Statistics of blocks of tokens, each over the tokens that the block truly has (a ragged last block, tiles at an edge). An
/// empty block gives 0 everywhere.
///
/// @see Zhang et al. 2025 (SpargeAttn), arXiv:2502.18137, sec. 3.2 (similarity); Rectified SpaAttn, arXiv:2511.19835 (deviation)
template <typename Element>
struct PoolingArguments {
  HostView<const Element, 3> x;                   ///< (H,T,D), any strides; D 1..256; Element float or Bfloat16Bits
  HostView<const std::int64_t, 1> block_offsets;  ///< (N+1) ascending, within 0..T: block n is tokens offsets[n]..offsets[n+1]-1
  HostView<float, 3> mean;                        ///< (H,N,D), null data to skip
  HostView<float, 3> deviation;                   ///< (H,N,D) mean of |x - mean|, channel by channel; null data to skip
  /// (H,N) mean cosine over all pairs of tokens of a block, each with itself too: |sum of x/|x||^2 / count^2. A token of
  /// zeros has cosine 0 with all. Null data to skip.
  HostView<float, 2> similarity;
};

/// @throws Error{InvalidArgument} naming the first argument that disagrees; nothing is written then
template <typename Element>
void pool_blocks(const PoolingArguments<Element>& arguments, const Workers& workers = {});

}  // namespace ditscope
