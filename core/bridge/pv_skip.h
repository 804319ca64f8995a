#pragma once
#include <ATen/core/Tensor.h>

#include "core/attention/layer_call.h"
#include "kernels/block_mask.h"

namespace ditscope {

/// Share of all pairs that the second stage of int8 attention (Int8Options::pv_skip) leaves out of what a mask keeps: their logits are
/// formed, their values are not. Attends once more to count; for measures.
/// @param one  a call of one batch element, tokens in slots, with its pv_skip     @param tokens  pairs are counted against its square
at::Tensor pv_left_out(const LayerCall& one, const BlockMask& mask, std::int64_t tokens);  // (H) float64

}  // namespace ditscope
