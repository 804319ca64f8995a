#pragma once
#include "kernels/block_mask.h"
#include "kernels/block_sparse_attention.h"
#include "kernels/tensor_view.h"

namespace ditscope {

/// mass[h,m,n] = sum over queries i of block m and keys j of block n of exp(scale * q_i.k_j - log_sum_exp[i]): the attention that
/// query block m pays to key block n. With the log-sum-exp of this very q and k, a row of `mass` sums to the number of its
/// queries; with one of an earlier step (AdaSpa's cached search) it only nearly does, so divide by what it sums to.
///
/// @see Xia et al. 2025 (AdaSpa), arXiv:2502.21079, eq. 11 and Alg. 2 (which prints log where it must be exp)
template <typename Element>
struct BlockMassArguments {
  HostView<const Element, 3> q;              ///< (H,Tq,D), any strides; D 1..256; Element float or Bfloat16Bits
  HostView<const Element, 3> k;              ///< (H,Tk,D)
  float scale = 1;                           ///< logits are scale * q.k
  const BlockMask* mask = nullptr;           ///< counts only what it keeps; null: every pair
  HostView<const float, 2> log_sum_exp;      ///< (H,Tq) natural log; a row of -inf counts nothing. A pair counts at most 2^80
  std::int64_t block_tokens = kBlockTokens;  ///< a multiple of 64, for queries and keys
  /// Of every 64 queries only numbers row_offset, row_offset + row_step, ... are computed, and count for all of them.
  std::int64_t row_step = 1, row_offset = 0;
  HostView<float, 3> mass;  ///< (H,M,N), M = ceil(Tq/block_tokens), N = ceil(Tk/block_tokens); overwritten
};

/// One pass over q and k, no softmax. @throws Error{InvalidArgument} naming the first argument that disagrees
template <typename Element>
void block_mass(const BlockMassArguments<Element>& arguments, const Workers& workers = {});

/// Attention, its log-sum-exp and its exact block mass, in one pass: AdaSpa's first search without its second pass over q and k.
/// Each row keeps its sum over every key block beside the running softmax, all on the scale of the running maximum.
template <typename Element>
struct BlockSearchArguments {
  HostView<const Element, 3> q;     ///< (H,Tq,D)
  HostView<const Element, 3> k, v;  ///< (H,Tk,D); v without data if `out` has none
  float scale = 1;
  const BlockMask* mask = nullptr;           ///< null: every pair
  std::int64_t block_tokens = kBlockTokens;  ///< a multiple of 64
  HostView<Element, 3> out;                  ///< (H,Tq,D), null data to skip; 0 for a row that keeps nothing
  HostView<float, 2> log_sum_exp;            ///< (H,Tq), null data to skip; -inf for such a row
  HostView<float, 3> mass;                   ///< (H,M,N), every row sums to its queries that keep something
};

/// @throws Error{InvalidArgument} naming the first argument that disagrees
template <typename Element>
void block_search(const BlockSearchArguments<Element>& arguments, const Workers& workers = {});

}  // namespace ditscope
