#pragma once
#include <ATen/core/Tensor.h>

#include "core/attention/layer_call.h"
#include "kernels/block_mask.h"

namespace ditscope {

// The one place where the tensors of a call become views for the kernels. CPU tensors in float32 and bfloat16 run on them,
// float16 as float32; tensors on a GPU on those of core/bridge/cuda_attention.h where the build has them. Other types and calls
// with a key mask take a masked path of LibTorch operations, in float32, some rows at a time. All give the same numbers up to
// rounding.

/// softmax(scale * Q K^T) V over all keys that the call's key mask allows: our kernel where it is faster, else LibTorch's.
at::Tensor dense_attention(const LayerCall& call);  // (B,H,T,D)

/// What a mask keeps of some query rows, as booleans on the CPU; one plane for all heads where they share it.
at::Tensor kept_rows(const BlockMask& mask, std::int64_t heads, at::IntArrayRef rows);  // (1 or H, rows, T)

/// Uninitialised output for a call, laid out (B,T,H,D) in memory so that the model merges heads without a copy.
at::Tensor output_like(const at::Tensor& q);  // (B,H,T,D)

/// out[b] = row_scale * softmax over the kept keys V + residual, for one batch element.
///
/// @param row_scale (H,T) float32, undefined: 1     @param residual (H,T,D), undefined: 0
/// @param log_sum_exp (H,T) float32, written; undefined to skip
/// @throws Error{Unsupported} where call.qk asks for int8 and neither kernel for it takes the call
void masked_attention(const LayerCall& call, std::int64_t batch, const BlockMask& mask, const at::Tensor& row_scale,
                      const at::Tensor& residual, at::Tensor& out, const at::Tensor& log_sum_exp = {});

/// Whether masked_attention_by_place() can take a call: a kernel on the CPU, no key mask.
bool places_taken(const LayerCall& call);
/// out[b] = softmax over the kept keys V under a mask of places: place p holds token query_tokens[p] of the queries and
/// key_tokens[p] of the keys, or none below 0; the mask keeps no such key.
///
/// @param query_tokens, key_tokens  (P) or (H,P) int, CPU, contiguous; every query token once
void masked_attention_by_place(const LayerCall& call, std::int64_t batch, const BlockMask& mask, const at::Tensor& query_tokens,
                               const at::Tensor& key_tokens, at::Tensor& out);

/// What a refresh step learns of one batch element.
struct SplitResult {
  at::Tensor log_sum_exp;       // (H,T) float32, over all keys
  at::Tensor log_sum_exp_kept;  // (H,T) float32, over the kept keys
  at::Tensor residual;          // (H,T,D) out - rho * O_kept, in the type of q; undefined unless asked for
};

/// out[b] = full attention, and how it divides between what `kept` keeps and what `skipped`, its complement, does.
///
/// @param unit_rho the residual is out - O_kept instead of out - rho * O_kept with rho = exp(log_sum_exp_kept - log_sum_exp)
SplitResult split_attention(const LayerCall& call, std::int64_t batch, const BlockMask& kept, const BlockMask& skipped,
                            bool unit_rho, bool with_residual, at::Tensor& out);

}  // namespace ditscope
