#include "core/attention/block_planner.h"

#include <ATen/ATen.h>

namespace ditscope {

at::Tensor best_columns(const at::Tensor& scores, double mass_ratio, bool crossing, std::int64_t least) {
  return best_columns(scores, at::full({1}, mass_ratio, scores.options()), crossing, least);
}

at::Tensor best_columns(const at::Tensor& scores, const at::Tensor& mass_ratios, bool crossing, std::int64_t least) {
  const at::Tensor mass_ratio = mass_ratios.view({-1, 1, 1});
  const auto [sorted, order] = at::sort(scores, /*stable=*/true, -1, /*descending=*/true);
  const at::Tensor sums = sorted.cumsum(-1);
  // A share of 1 is all of it, however the sums are rounded.
  const at::Tensor within = (crossing ? sums - sorted : sums).le(mass_ratio).logical_or(mass_ratio.ge(1));  // (H,M,N)
  const at::Tensor count = within.sum(-1, true).clamp_min(least);                             // (H,M,1)
  const at::Tensor chosen = at::arange(scores.size(-1), order.options()).lt(count);           // (H,M,N)
  return at::zeros_like(chosen).scatter_(-1, order, chosen);
}

at::Tensor best_columns(const at::Tensor& scores, std::int64_t count) {
  const at::Tensor order = at::argsort(scores, /*stable=*/true, -1, /*descending=*/true);
  return at::zeros(scores.sizes(), scores.options().dtype(at::kBool)).scatter_(-1, order.slice(-1, 0, count), true);
}

}  // namespace ditscope
