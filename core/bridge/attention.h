#pragma once
#include <ATen/core/Tensor.h>

#include "core/attention/layer_call.h"

namespace ditscope {

/// softmax(scale * Q K^T) V over all keys that the call's key mask allows.
at::Tensor dense_attention(const LayerCall& call);  // (B,H,T,D)

}  // namespace ditscope
