#pragma once
#include <ATen/core/Tensor.h>

#include <cstdint>

#include "core/attention/layer_call.h"

namespace ditscope {

// How much attention blocks of queries pay to blocks of keys, exactly, for one batch element. CPU tensors run on the kernels
// (kernels/block_mass.h), others on LibTorch operations in float32, some rows at a time.

struct BlockSearch {
  at::Tensor out;          // (H,T,D) full attention
  at::Tensor log_sum_exp;  // (H,T) float32
  at::Tensor mass;         // (H,M,N) float32, M = N = ceil(T/block_tokens)
};

/// Full attention, its log-sum-exp and its block mass. @param one  a call of one batch element
BlockSearch block_search(const LayerCall& one, std::int64_t block_tokens);

/// Block mass alone, with a log-sum-exp (H,T) of this or of an earlier step.
at::Tensor block_mass(const LayerCall& one, const at::Tensor& log_sum_exp, std::int64_t block_tokens);  // (H,M,N) float32

}  // namespace ditscope
