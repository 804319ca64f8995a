#pragma once
#include "kernels/block_selection.h"
#include "kernels/block_sparse_attention.h"
#include "kernels/tensor_view.h"

namespace ditscope {

/// Attention among pooled blocks, with keys beside them that are not pooled (text):
///   s_ij = scale * q_i.k_j,  shares[i,j] = weight_j e^{s_ij} / Z_i,  extra_share[i] = sum_t e^{s_it} / Z_i,
///   Z_i = sum_j weight_j e^{s_ij} + sum_t e^{s_it}.
/// weight_j = tokens of block j makes Rectified SpaAttn's isolated pooling (each pooled key stands for all its tokens, each text
/// token for itself; true counts where its code takes B) and SVG2's cluster scores; weight 1 the plain softmax of DraftAttention
/// and SpargeAttn; weight 0 leaves a block out.
///
/// @see Rectified SpaAttn, arXiv:2511.19835 (IPAR); SVG2, arXiv:2505.18875, sec. 4.2
template <typename Element>
struct PooledAttentionArguments {
  HostView<const float, 3> queries;       ///< (H,M,D) pooled, any strides; D 1..256
  HostView<const float, 3> keys;          ///< (H,N,D) pooled
  HostView<const float, 2> weights;       ///< (H,N) >= 0, or one row for all heads with a stride of 0; null data: 1
  HostView<const Element, 3> extra_keys;  ///< (H,E,D) not pooled, each counts once; null data: none; float or Bfloat16Bits
  float scale = 1;
  HostView<float, 3> shares;       ///< (H,M,N); a row, with its extra share, sums to 1, or to 0 if every weight is 0
  HostView<float, 2> extra_share;  ///< (H,M), null data to skip
};

/// @throws Error{InvalidArgument} naming the first argument that disagrees; nothing is written then
template <typename Element>
void pooled_attention(const PooledAttentionArguments<Element>& arguments, const Workers& workers = {});

/// Blocks whose pooled logit says more than pooling loses: |q_i.k_j| > |dq_i.k_j| + |q_i.dk_j|, without scale, with dq and dk the
/// mean absolute deviations of their blocks (Rectified SpaAttn's gain-aware rectification, arXiv:2511.19835).
/// @param queries, query_deviation (H,M,D) @param keys, key_deviation (H,N,D)
BlockSelection pooling_gain(const HostView<const float, 3>& queries, const HostView<const float, 3>& query_deviation,
                            const HostView<const float, 3>& keys, const HostView<const float, 3>& key_deviation,
                            const Workers& workers = {});

/// What pooled attention gives to the blocks that are not kept, and the share of the others:
///   rest[i] = sum over j not kept of shares[i,j] v_j,  kept_share[i] = extra_share[i] + sum over j kept of shares[i,j].
/// Rectified SpaAttn's output is kept_share * (sparse attention) + rest, a query block at a time.
struct PooledRestArguments {
  HostView<const float, 3> shares;       ///< (H,M,N)
  HostView<const float, 2> extra_share;  ///< (H,M), null data: 0
  HostView<const float, 3> values;       ///< (H,N,D) pooled
  const BlockSelection* kept = nullptr;  ///< (H,M,N); null: nothing is kept
  HostView<float, 3> rest;               ///< (H,M,D)
  HostView<float, 2> kept_share;         ///< (H,M), null data to skip
};

/// @throws Error{InvalidArgument} naming the first argument that disagrees; nothing is written then
void pooled_rest(const PooledRestArguments& arguments, const Workers& workers = {});

}  // namespace ditscope
