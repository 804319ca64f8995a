#include "core/bridge/block_scores.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <limits>

#include "core/bridge/cuda_attention.h"
#include "core/bridge/views.h"
#include "kernels/block_mass.h"

namespace ditscope {
namespace {

constexpr double kMostLog = 80 * 0.6931471805599453;  // a pair counts at most 2^80, as in the kernel

std::int64_t blocks_of(std::int64_t tokens, std::int64_t block_tokens) {
  return (tokens + block_tokens - 1) / block_tokens;
}

template <typename Element>
void run_search(const LayerCall& one, std::int64_t block_tokens, BlockSearch& result) {
  const at::Tensor q = widened(one.q[0]), k = widened(one.k[0]), v = widened(one.v[0]);  // (H,T,D)
  const at::Tensor written = at::empty(q.sizes(), q.options());
  BlockSearchArguments<Element> a;
  a.q = view<const Element, 3>(q);
  a.k = view<const Element, 3>(k);
  a.v = view<const Element, 3>(v);
  a.scale = static_cast<float>(one.scale);
  a.block_tokens = block_tokens;
  a.out = view<Element, 3>(written);
  a.log_sum_exp = view<float, 2>(result.log_sum_exp);
  a.mass = view<float, 3>(result.mass);
  block_search(a, workers_for(q.size(0), result.mass.size(1) * result.mass.size(2)));
  result.out = written.to(one.q.scalar_type());
}

template <typename Element>
void run_mass(const LayerCall& one, const at::Tensor& log_sum_exp, std::int64_t block_tokens, const at::Tensor& mass) {
  const at::Tensor q = widened(one.q[0]), k = widened(one.k[0]), sums = log_sum_exp.contiguous();
  BlockMassArguments<Element> a;
  a.q = view<const Element, 3>(q);
  a.k = view<const Element, 3>(k);
  a.scale = static_cast<float>(one.scale);
  a.log_sum_exp = view<const float, 2>(sums);
  a.block_tokens = block_tokens;
  a.mass = view<float, 3>(mass);
  block_mass(a, workers_for(q.size(0), mass.size(1) * mass.size(2)));
}

/// (H,rows,T) -> (H,N): sums over the rows and over each block of keys.
at::Tensor block_sums(const at::Tensor& weights, std::int64_t block_tokens) {
  const std::int64_t keys = weights.size(2), blocks = blocks_of(keys, block_tokens);
  return at::constant_pad_nd(weights.sum(1), {0, blocks * block_tokens - keys}).unflatten(-1, {blocks, block_tokens}).sum(-1);
}

/// One query block at a time. Without `log_sum_exp` given, `result` gets this step's, and the output.
void in_torch(const LayerCall& one, const at::Tensor& log_sum_exp, std::int64_t block_tokens, BlockSearch& result) {
  const at::Tensor q = one.q[0].to(at::kFloat), k = one.k[0].to(at::kFloat), v = one.v[0].to(at::kFloat);  // (H,T,D)
  const std::int64_t tokens = q.size(1);
  if (!log_sum_exp.defined()) result.out = at::empty(one.q[0].sizes(), one.q.options());
  for (std::int64_t first = 0, m = 0; first < tokens; first += block_tokens, ++m) {
    const std::int64_t last = std::min(first + block_tokens, tokens);
    at::Tensor logits = at::matmul(q.slice(1, first, last), k.transpose(1, 2)) * one.scale;  // (H,rows,T)
    if (one.key_mask.defined())
      logits.masked_fill_(one.key_mask[0].logical_not().unsqueeze(0).unsqueeze(0), -std::numeric_limits<double>::infinity());
    at::Tensor sums = log_sum_exp.defined() ? log_sum_exp.slice(1, first, last) : at::logsumexp(logits, -1);  // (H,rows)
    const at::Tensor weights = at::exp((logits - sums.unsqueeze(-1)).clamp_max(kMostLog));                    // (H,rows,T)
    result.mass.select(1, m).copy_(block_sums(weights, block_tokens));
    if (log_sum_exp.defined()) continue;
    result.log_sum_exp.slice(1, first, last).copy_(sums);
    result.out.slice(1, first, last).copy_(at::matmul(weights, v));
  }
}

at::Tensor empty_mass(const LayerCall& one, std::int64_t block_tokens) {
  const std::int64_t blocks = blocks_of(one.q.size(2), block_tokens);
  return at::zeros({one.q.size(1), blocks, blocks}, one.q.options().dtype(at::kFloat));  // (H,M,N)
}

bool on_gpu(const LayerCall& one, std::int64_t block_tokens) {
  return block_tokens % kBlockTokens == 0 && cuda_kernels_take(one);
}

}  // namespace

at::Tensor mass_of_wider_blocks(const at::Tensor& mass, std::int64_t block_tokens) {
  const std::int64_t factor = block_tokens / kBlockTokens, rows = blocks_of(mass.size(1), factor), columns = blocks_of(mass.size(2), factor);
  if (factor == 1) return mass;
  return at::constant_pad_nd(mass, {0, columns * factor - mass.size(2), 0, rows * factor - mass.size(1)})
      .view({mass.size(0), rows, factor, columns, factor})
      .sum(at::IntArrayRef{2, 4});
}

BlockSearch block_search(const LayerCall& one, std::int64_t block_tokens) {
  BlockSearch result;
  if (on_gpu(one, block_tokens)) {
    result = cuda_block_search(one);
    result.mass = mass_of_wider_blocks(result.mass, block_tokens);
    return result;
  }
  result.mass = empty_mass(one, block_tokens);
  result.log_sum_exp = at::empty({one.q.size(1), one.q.size(2)}, one.q.options().dtype(at::kFloat));
  if (!kernel_takes(one))
    in_torch(one, {}, block_tokens, result);
  else if (one.q.scalar_type() == at::kBFloat16)
    run_search<Bfloat16Bits>(one, block_tokens, result);
  else
    run_search<float>(one, block_tokens, result);
  return result;
}

at::Tensor block_mass(const LayerCall& one, const at::Tensor& log_sum_exp, std::int64_t block_tokens) {
  if (on_gpu(one, block_tokens)) return mass_of_wider_blocks(cuda_block_mass(one, log_sum_exp), block_tokens);
  BlockSearch result;
  result.mass = empty_mass(one, block_tokens);
  if (!kernel_takes(one))
    in_torch(one, log_sum_exp, block_tokens, result);
  else if (one.q.scalar_type() == at::kBFloat16)
    run_mass<Bfloat16Bits>(one, log_sum_exp, block_tokens, result.mass);
  else
    run_mass<float>(one, log_sum_exp, block_tokens, result.mass);
  return result.mass;
}

}  // namespace ditscope
