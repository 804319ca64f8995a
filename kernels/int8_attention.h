#pragma once
#include <cstdint>

#include "kernels/block_sparse_attention.h"
#include "kernels/tensor_view.h"

namespace ditscope {

/// Tokens as int8 with one scale a group of neighbouring tokens:
///   values = round((x - mean) * 127 / max|x - mean|),  scale = max|x - mean| / 127  (0 for a group of zeros),
/// the maximum taken over all channels of the group's tokens. x - mean differs from scale * values by at most scale / 2.
///
/// @see Zhang et al. 2025 (SageAttention), arXiv:2410.02367, sec. 4.2 and 4.3: blocks of 128 queries and 64 keys, keys without
/// their mean; group_tokens = 1 is its "per token"
template <typename Element>
struct QuantisationArguments {
  HostView<const Element, 3> x;     ///< (H,T,D), any strides; D 1..256; Element float or Bfloat16Bits
  HostView<const float, 2> mean;    ///< (H,D) subtracted first: K smoothing with the mean over tokens; null data: 0
  std::int64_t group_tokens = 64;   ///< 1..: tokens that share a scale
  HostView<std::int8_t, 3> values;  ///< (H,T,D), -127..127
  HostView<float, 2> scales;        ///< (H, ceil(T/group_tokens))
};

/// @throws Error{InvalidArgument} naming the first argument that disagrees; nothing is written then
template <typename Element>
void quantise_tokens(const QuantisationArguments<Element>& arguments, const Workers& workers = {});

/// How `int8_attention` quantises q and k.
struct Int8Options {
  std::int64_t query_group_tokens = 128, key_group_tokens = 64;
  /// Subtract the mean of k over tokens first: adds the same to all logits of a row, so the softmax stays, and outliers that all
  /// keys share no longer eat the range. The log-sum-exp gets scale * q.mean back.
  bool smooth_keys = true;
  /// (H) lambda: a visited block takes no part where none of its 64 rows has a logit, in powers of two, that comes within lambda of
  /// the largest the row has met; neither its sum nor its values are computed then. Null data or 0: every visited block takes part.
  /// @see SpargeAttn, arXiv:2502.18137, sec. 3.5, whose groups are the 16 or 32 rows of a warp
  HostView<const float, 1> pv_skip = {};
  /// (H) pairs of the blocks left out so are added to it; null data to skip.
  HostView<std::int64_t, 1> left_out_pairs = {};
};

/// block_sparse_attention with logits from int8 dot products (exact in int32): the same arguments but for orders of
/// tokens, the same mask, epilogue and determinism. Probabilities and v stay in float, or in bfloat16 where the sparse attention has them so. On AVX-512 with VNNI,
/// AVX-512, AVX2, or portable; DITSCOPE_ISA lowers the choice (avx512 is without VNNI).
///
/// @throws Error{InvalidArgument} naming the first argument that disagrees; nothing is written then
template <typename Element>
void int8_attention(const AttentionArguments<Element>& arguments, const Int8Options& options, const Workers& workers = {});

}  // namespace ditscope
