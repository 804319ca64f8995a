#include <ATen/ATen.h>

#include "core/attention/layer_call.h"

namespace ditscope {

at::Tensor DenseAttention::attend(const LayerCall& call) {
  c10::optional<at::Tensor> bias;
  if (call.key_mask.defined()) bias = call.key_mask.unsqueeze(1).unsqueeze(1);                    // (B,1,1,T)
  return at::scaled_dot_product_attention(call.q, call.k, call.v, bias, 0.0, false, call.scale);  // (B,H,T,D)
}

}  // namespace ditscope
