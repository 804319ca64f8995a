#pragma once
#include <ATen/core/Tensor.h>

#include "core/training/clip_factory.h"

namespace ditscope {

/// A rendered clip as a VAE takes it: float32, -1..1. (3,F,Y,X)
at::Tensor video_tensor(const RenderedClip& clip);

}  // namespace ditscope
