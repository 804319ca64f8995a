#pragma once
#include "kernels/cuda/attention.h"
#include "kernels/int8_attention.h"

namespace ditscope {

/// cuda_attention() with logits from int8 dot products (int8_attention() on a GPU): q and k are quantised by group, keys
/// smoothed, then multiplied by mma.m16n8k32, exact in int32. Probabilities and v stay in 16 bits. Some kernels one after the
/// other on the stream; nothing waits, nothing is allocated, the same bits from the same input.
///
/// Groups hold a power of two of tokens: 1 is a scale a token, 64 or 128 one a block.
///
/// @tparam Element Bfloat16Bits or Float16Bits
/// @param arguments  as of cuda_attention(), D 1..128; `parts` with room for cuda_int8_part_floats()
/// @param scratch    cuda_int8_scratch_bytes() on the device, at a multiple of 16 bytes
/// @throws Error{InvalidArgument} naming what disagrees, Error{Device} where a launch fails
template <typename Element>
void cuda_int8_attention(const CudaAttentionArguments<Element>& arguments, const Int8Options& options, const DevicePlan& plan,
                         void* scratch, void* stream);

/// Bytes of scratch memory for a call of that plan and width.
std::int64_t cuda_int8_scratch_bytes(const PlanLayout& layout, std::int64_t width, const Int8Options& options);
/// Floats that `parts` must have room for; 0 where no tile is divided.
std::int64_t cuda_int8_part_floats(const PlanLayout& layout, std::int64_t width);

}  // namespace ditscope
