#pragma once
#include <ATen/core/Tensor.h>

#include <cstdint>

#include "core/attention/layer_call.h"

namespace ditscope {

// How much attention blocks of queries pay to blocks of keys, exactly, for one batch element. CPU tensors run on the kernels
// (kernels/block_mass.h), tensors on a GPU on its kernels (kernels/cuda/block_mass.h) where the build has them and blocks are
// multiples of 64 tokens, others on LibTorch operations in float32, some rows at a time.

struct BlockSearch {
  at::Tensor out;          // (H,T,D) full attention
  at::Tensor log_sum_exp;  // (H,T) float32
  at::Tensor mass;         // (H,M,N) float32, M = N = ceil(T/block_tokens)
};

/// Full attention, its log-sum-exp and its block mass. @param one  a call of one batch element
BlockSearch block_search(const LayerCall& one, std::int64_t block_tokens);

/// Block mass alone, with a log-sum-exp (H,T) of this or of an earlier step.
at::Tensor block_mass(const LayerCall& one, const at::Tensor& log_sum_exp, std::int64_t block_tokens);  // (H,M,N) float32

/// Mass of blocks of 64 tokens, summed up to blocks of `block_tokens`, a multiple of 64.
at::Tensor mass_of_wider_blocks(const at::Tensor& mass, std::int64_t block_tokens);  // (H,M64,N64) -> (H,M,N)

}  // namespace ditscope
