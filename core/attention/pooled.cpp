#include "core/attention/pooled.h"

#include <ATen/ATen.h>

#include <limits>

namespace ditscope {

PooledAttention pooled_attention(const at::Tensor& q_means, const at::Tensor& k_means, const at::Tensor& counts,
                                 const at::Tensor& text_keys, const at::Tensor& text_mask, double scale) {
  const std::int64_t visual = k_means.size(1);
  const at::Tensor weights = at::log(counts.to(q_means.device(), at::kFloat));                     // (V)
  const at::Tensor logits = at::matmul(q_means, k_means.transpose(1, 2)) * scale + weights;        // (H,V,V)
  at::Tensor to_text = at::matmul(q_means, text_keys.to(at::kFloat).transpose(1, 2)) * scale;      // (H,V,C)
  if (text_mask.defined()) to_text.masked_fill_(text_mask.logical_not(), -std::numeric_limits<double>::infinity());
  const at::Tensor all = at::softmax(at::cat({logits, to_text}, 2), 2);                            // (H,V,V+C)
  return {all.narrow(2, 0, visual), all.narrow(2, visual, all.size(2) - visual).sum(2)};
}

}  // namespace ditscope
