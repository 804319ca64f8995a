#include "core/attention/pooled.h"

#include <ATen/ATen.h>

#include <limits>

namespace ditscope {

PooledAttention pooled_attention(const at::Tensor& q_means, const at::Tensor& k_means, const at::Tensor& counts,
                                 const at::Tensor& text_keys, const at::Tensor& text_mask, double scale, std::int64_t text_block) {
  if (text_block > 1 && text_keys.size(1) > 0) {
    at::Tensor weight = at::ones({1, text_keys.size(1), 1}, at::kFloat).to(text_keys.device());  // (1,C,1)
    if (text_mask.defined()) weight = text_mask.to(at::kFloat).view({1, -1, 1});
    const auto blocks = [&](const at::Tensor& rows) {  // sums of the rows of each block
      const std::int64_t count = (rows.size(1) + text_block - 1) / text_block;
      return at::constant_pad_nd(rows, {0, 0, 0, count * text_block - rows.size(1)}).unflatten(1, {count, text_block}).sum(2);
    };
    const at::Tensor in_block = blocks(weight);  // (1,N,1)
    const at::Tensor means = blocks(text_keys.to(at::kFloat) * weight) / in_block.clamp_min(1);
    const at::Tensor logits = at::cat({at::matmul(q_means, k_means.transpose(1, 2)) * scale + at::log(counts.to(q_means.device(), at::kFloat)),
                                       at::matmul(q_means, means.transpose(1, 2)) * scale + at::log(in_block).transpose(1, 2)},
                                      2);
    const at::Tensor all = at::softmax(logits, 2);  // (H,V,V+N)
    return {all.narrow(2, 0, k_means.size(1)), all.narrow(2, k_means.size(1), means.size(1)).sum(2)};
  }
  const std::int64_t visual = k_means.size(1);
  const at::Tensor weights = at::log(counts.to(q_means.device(), at::kFloat));                     // (V)
  const at::Tensor logits = at::matmul(q_means, k_means.transpose(1, 2)) * scale + weights;        // (H,V,V)
  at::Tensor to_text = at::matmul(q_means, text_keys.to(at::kFloat).transpose(1, 2)) * scale;      // (H,V,C)
  if (text_mask.defined()) to_text.masked_fill_(text_mask.logical_not(), -std::numeric_limits<double>::infinity());
  const at::Tensor all = at::softmax(at::cat({logits, to_text}, 2), 2);                            // (H,V,V+C)
  return {all.narrow(2, 0, visual), all.narrow(2, visual, all.size(2) - visual).sum(2)};
}

}  // namespace ditscope
