#pragma once
#include <ATen/core/Tensor.h>

#include "core/attention/block_grid.h"
#include "core/attention/layer_call.h"

namespace ditscope {

/// Attention of the means of visual query blocks to the means of visual key blocks, each standing for as many keys as it holds, and
/// to every text key by itself ("isolated pooling").
///
///   Z_i = Σ_j n_j e^{s q̄_i·k̄_j} + Σ_t e^{s q̄_i·k_t},   P_ij = n_j e^{s q̄_i·k̄_j} / Z_i,   P_i,text = Σ_t e^{s q̄_i·k_t} / Z_i
///
/// @see Rectified SpaAttn, arXiv:2511.19835 (IPAR)
struct PooledAttention {
  at::Tensor visual;  // (H,V,V) float32
  at::Tensor text;    // (H,V) float32
};

/// @param q_means, k_means (H,V,D) of visual blocks     @param counts (V) tokens in each
/// @param text_keys (H,C,D), may have no rows            @param text_mask (C) bool, undefined: every text key counts
/// @param text_block  1: every text key by itself; more: means of so many, what isolated pooling is held against
PooledAttention pooled_attention(const at::Tensor& q_means, const at::Tensor& k_means, const at::Tensor& counts,
                                 const at::Tensor& text_keys, const at::Tensor& text_mask, double scale, std::int64_t text_block = 1);

}  // namespace ditscope
