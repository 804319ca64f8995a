#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "kernels/cuda/element.h"
#include "kernels/plan/attention_plan.h"
#include "kernels/tensor_view.h"

namespace ditscope {

/// A plan whose bytes were copied to the GPU, to an address that is a multiple of 16. The caller owns them.
struct DevicePlan {
  PlanLayout layout;
  void* data = nullptr;
};

/// block_sparse_attention() (kernels/block_sparse_attention.h) on a GPU of compute capability 8.0 or newer, over a plan instead
/// of a mask: out = row_scale * block_scale * softmax(scale * Q K^T over the kept keys) V + block_vector + residual.
///
/// Enqueues on a stream and returns: nothing waits, nothing is allocated, so a CUDA graph can record it. A plan serves one stream
/// at a time. The same bits from the same input. In bfloat16 and float16, probabilities are rounded before they meet V; sums are
/// float32. 16-bit types need rows that begin at multiples of 16 bytes, channels side by side and a width that is a multiple of
/// 8; heads and tokens may have any such strides. float32 takes any.
///
/// @tparam Element float, Bfloat16Bits or Float16Bits
template <typename Element>
struct CudaAttentionArguments {
  DeviceView<const Element, 3> q;           ///< (H,Tq,D); D 1..256
  DeviceView<const Element, 3> k, v;        ///< (H,Tk,D)
  float scale = 1;                          ///< logits are scale * q.k
  DeviceView<Element, 3> out;               ///< (H,Tq,D), overwritten; a row with no kept key becomes its residual, or 0
  DeviceView<float, 2> log_sum_exp;         ///< (H,Tq) natural log of the kept mass, -inf for such a row; null data to skip
  DeviceView<const float, 2> row_scale;     ///< (H,Tq); null data: 1
  DeviceView<const float, 2> block_scale;   ///< (H,M), M blocks of 64 queries; null data: 1
  DeviceView<const float, 3> block_vector;  ///< (H,M,D), added to every row of its block; null data: 0
  DeviceView<const Element, 3> residual;    ///< (H,Tq,D), may be `out`; null data: 0
  float* parts = nullptr;                   ///< part_floats() of them, where the plan divides tiles
};

/// @throws Error{InvalidArgument} naming what disagrees, Error{Unsupported} for a plan of tiles that the type or width has no
/// kernel for (tile_blocks_for()), Error{Device} where the launch fails
template <typename Element>
void cuda_attention(const CudaAttentionArguments<Element>& arguments, const DevicePlan& plan, void* stream);

/// split_attention() on a GPU: one pass over what a plan made of two masks visits, skipped blocks first.
template <typename Element>
struct CudaSplitArguments {
  DeviceView<const Element, 3> q;     ///< (H,Tq,D)
  DeviceView<const Element, 3> k, v;  ///< (H,Tk,D)
  float scale = 1;
  bool unit_rho = false;
  DeviceView<Element, 3> out;             ///< (H,Tq,D)
  DeviceView<float, 2> log_sum_exp;       ///< (H,Tq), null data to skip
  DeviceView<float, 2> log_sum_exp_kept;  ///< (H,Tq), null data to skip
  DeviceView<Element, 3> residual;        ///< (H,Tq,D), null data to skip; apart from `out`
  /// (H,M,N): the share of the mass of query block m's rows that falls on the keys of block n, mean over the rows; null data to
  /// skip. On the way: each row's sum over every block, 4 bytes.
  DeviceView<float, 3> block_mass;
  float* block_logs = nullptr;  ///< cuda_block_log_floats() of them, where block_mass has data
};

template <typename Element>
void cuda_split_attention(const CudaSplitArguments<Element>& arguments, const DevicePlan& plan, void* stream);

/// Floats that `parts` must have room for; 0 where no tile is divided.
std::int64_t part_floats(const PlanLayout& layout, std::int64_t width);

/// Floats that `block_logs` must have room for on the current device.
template <typename Element>
std::int64_t cuda_block_log_floats(const PlanLayout& layout, std::int64_t width);

/// Query blocks a tile that there is a kernel for: `wanted`, or 1 where only that exists.
template <typename Element>
int tile_blocks_for(std::int64_t width, int wanted);

/// Whether the current device can run these kernels; false where there is none.
bool cuda_attention_runs_here();

/// Whether a 16-bit call of that width and plan runs on the kernel for compute capability 9.0 (wgmma and the copy engine) here:
/// on such a GPU, with the environment variable DITSCOPE_HOPPER=1. No GPU has run it yet.
bool cuda_attention_uses_hopper(std::int64_t width, int tile_blocks);

/// Blocks of threads of the current device that take tiles at once, for balanced_entries().
int cuda_attention_workers(std::int64_t width, int tile_blocks);

}  // namespace ditscope
