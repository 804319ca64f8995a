#pragma once
#include <ATen/core/Tensor.h>

#include <cstdint>

namespace ditscope::vae {

struct GroupNorm;

/// True where norm_silu can stand in for its four operators: on the CPU, in float32 or bfloat16, no gradients wanted.
bool can_fuse_norm_silu(const at::Tensor& x);

/// silu(norm(f) * gain + offset) in two passes over f: at the sizes of a decoder's last blocks a pass over memory costs as
/// much as the arithmetic of a convolution.
///
/// @param f            (B,C,F,Y,X)
/// @param gain,offset  (B,C,f,y,x), repeated to the size of f as SpatialNorm says; both undefined for 1 and 0
/// @param lead_frames  room left in front of the result for the frames that a causal convolution looks back on
/// @return             (B,C,lead+F,Y,X), channels last; its first frames are not written
at::Tensor norm_silu(const GroupNorm& norm, const at::Tensor& f, const at::Tensor& gain, const at::Tensor& offset,
                     int64_t lead_frames);

}  // namespace ditscope::vae
