#include "core/bridge/attention.h"

#include <ATen/ATen.h>

namespace ditscope {

at::Tensor dense_attention(const LayerCall& call) { return DenseAttention().attend(call); }

}  // namespace ditscope
