#pragma once
#include "kernels/cuda/attention.h"

namespace ditscope {

/// block_mass() (kernels/block_mass.h) on a GPU, over a plan instead of a mask and with blocks of 64 tokens: mass[h,m,n] = sum
/// over queries i of block m and keys j of block n that the plan keeps of exp(scale * q_i.k_j - log_sum_exp[i]).
///
/// As cuda_attention(): nothing waits, nothing is allocated, the same bits from the same input; the same demands on q and k.
///
/// @tparam Element float, Bfloat16Bits or Float16Bits
template <typename Element>
struct CudaBlockMassArguments {
  DeviceView<const Element, 3> q;          ///< (H,Tq,D); D 1..256
  DeviceView<const Element, 3> k;          ///< (H,Tk,D)
  float scale = 1;                         ///< logits are scale * q.k
  DeviceView<const float, 2> log_sum_exp;  ///< (H,Tq) natural log; a row of -inf counts nothing. A pair counts at most 2^80
  DeviceView<float, 3> mass;               ///< (H,M,N), overwritten; 0 for blocks that the plan skips
};

/// @param plan  of tiles of tile_blocks_for<Element>(D, 2) query blocks, none of them divided
/// @throws Error{InvalidArgument} naming what disagrees, Error{Device} where the launch fails
template <typename Element>
void cuda_block_mass(const CudaBlockMassArguments<Element>& arguments, const DevicePlan& plan, void* stream);

}  // namespace ditscope
