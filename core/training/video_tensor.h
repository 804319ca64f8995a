#pragma once
#include <ATen/core/Tensor.h>

#include "core/training/example_factory.h"

namespace ditscope {

/// The bytes of a clip, without a copy: the clip must outlive it. (3,F,Y,X)
at::Tensor video_bytes(const RenderedClip& clip);

/// Bytes as a VAE takes them: float32, -1..1. On a GPU a quarter of the traffic, and none of the arithmetic, is the CPU's.
at::Tensor video_values(const at::Tensor& bytes);

/// A rendered clip as a VAE takes it. (3,F,Y,X)
at::Tensor video_tensor(const RenderedClip& clip);

}  // namespace ditscope
