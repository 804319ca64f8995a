#pragma once
#include "kernels/block_mask.h"
#include "kernels/block_sparse_attention.h"
#include "kernels/tensor_view.h"

namespace ditscope {

/// Attention of some query rows, each over all keys or over what a mask keeps of its row, with the probabilities themselves on
/// request: for looking at a row, for SVG's choice among masks from sampled rows, for Delta's dense rows, for MInference's last
/// rows.
///
/// Probabilities cost a store for every pair: R * Tk floats a head. Deterministic for any number of workers.
///
/// @see Xi et al. 2025 (Sparse VideoGen), arXiv:2502.01776, sec. 4.1 (sampling); Willette et al. 2025, arXiv:2505.11254 (Delta)
template <typename Element>
struct RowAttentionArguments {
  HostView<const Element, 3> q;          ///< (H,Tq,D), any strides; D 1..256; Element float or Bfloat16Bits
  HostView<const Element, 3> k, v;       ///< (H,Tk,D); v without data if `out` has none
  HostView<const std::int32_t, 2> rows;  ///< (H,R) query numbers 0..Tq-1, any order, repeats allowed; a stride of 0 shares them
  float scale = 1;                       ///< logits are scale * q.k
  const BlockMask* mask = nullptr;       ///< Tq x Tk; null: every key
  HostView<Element, 3> out;              ///< (H,R,D), null data to skip; 0 for a row that keeps nothing
  HostView<float, 2> log_sum_exp;        ///< (H,R), null data to skip; -inf for such a row
  HostView<float, 3> probabilities;      ///< (H,R,Tk), null data to skip; each row sums to 1, or to 0 if it keeps nothing
};

/// @throws Error{InvalidArgument} naming the first argument that disagrees; nothing is written then
template <typename Element>
void row_attention(const RowAttentionArguments<Element>& arguments, const Workers& workers = {});

}  // namespace ditscope
