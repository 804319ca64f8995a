#pragma once
#include <ATen/core/Tensor.h>

#include "core/attention/layer_call.h"
#include "core/bridge/attention.h"
#include "core/bridge/block_scores.h"
#include "kernels/block_mask.h"

namespace ditscope {

// The attention kernels for GPUs (kernels/cuda/attention.h) on tensors. In a build without them, or with the environment variable
// DITSCOPE_CUDA_KERNELS=0, nothing is taken.

/// Whether they can take a call: a GPU of compute capability 8.0 or newer, float32, bfloat16 or float16, no key mask, no
/// gradients.
bool cuda_kernels_take(const LayerCall& call);

/// Whether a call with int8 logits is among them: 16-bit types, heads up to 128 wide, no pv_skip.
bool cuda_int8_takes(const LayerCall& call);

/// As masked_attention() and split_attention(), for calls that are taken. The plan of a mask is made and uploaded when the mask
/// is first seen, and kept as long as the mask; nothing waits for the GPU.
void cuda_masked_attention(const LayerCall& call, std::int64_t batch, const BlockMask& mask, const at::Tensor& row_scale,
                           const at::Tensor& residual, at::Tensor& out, const at::Tensor& log_sum_exp);
SplitResult cuda_split_attention(const LayerCall& call, std::int64_t batch, const BlockMask& kept, const BlockMask& skipped,
                                 bool unit_rho, bool with_residual, at::Tensor& out);

/// As block_search() and block_mass() (core/bridge/block_scores.h), in blocks of 64 tokens.
BlockSearch cuda_block_search(const LayerCall& one);
at::Tensor cuda_block_mass(const LayerCall& one, const at::Tensor& log_sum_exp);  // (H,M,N) float32

}  // namespace ditscope
