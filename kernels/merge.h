#pragma once
#include "kernels/block_sparse_attention.h"
#include "kernels/tensor_view.h"

namespace ditscope {

/// Two attentions of the same queries over key sets that do not meet, merged into the attention over both:
///   out = w_a out_a + w_b out_b,  w = exp(log_sum_exp of the part - log_sum_exp of both).
/// A part whose log-sum-exp is -inf weighs nothing, whatever it holds; where both are, out is 0. `out` may be out_a or out_b.
///
/// @see Dao 2023, arXiv:2307.08691, sec. 2.3; used by Radial attention and VMoBA for text beside video
template <typename Element>
struct MergeArguments {
  HostView<const Element, 3> out_a, out_b;                ///< (H,T,D), any strides; Element float or Bfloat16Bits
  HostView<const float, 2> log_sum_exp_a, log_sum_exp_b;  ///< (H,T) natural log
  HostView<Element, 3> out;                               ///< (H,T,D)
  HostView<float, 2> log_sum_exp;                         ///< (H,T) of both, null data to skip; may be one of the parts'
};

/// @throws Error{InvalidArgument} naming the first shape that disagrees; nothing is written then
template <typename Element>
void merge_attention(const MergeArguments<Element>& arguments, const Workers& workers = {});

}  // namespace ditscope
