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

/// block_search() on a GPU: attention, its log-sum-exp and its exact block mass in one pass, AdaSpa's first search without its
/// second pass over q and k. Over a plan of one mask that divides no tile; blocks of 64 tokens; otherwise as cuda_attention().
template <typename Element>
struct CudaBlockSearchArguments {
  DeviceView<const Element, 3> q;     ///< (H,Tq,D)
  DeviceView<const Element, 3> k, v;  ///< (H,Tk,D)
  float scale = 1;
  DeviceView<Element, 3> out;        ///< (H,Tq,D); 0 for a row that keeps nothing
  DeviceView<float, 2> log_sum_exp;  ///< (H,Tq), null data to skip; -inf for such a row
  DeviceView<float, 3> mass;         ///< (H,M,N), every row sums to its queries that keep something
  float* block_logs = nullptr;       ///< cuda_block_log_floats() of them
};

template <typename Element>
void cuda_block_search(const CudaBlockSearchArguments<Element>& arguments, const DevicePlan& plan, void* stream);

}  // namespace ditscope
