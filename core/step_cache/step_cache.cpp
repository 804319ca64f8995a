#include "core/step_cache/step_cache.h"

#include <ATen/ATen.h>

namespace ditscope {

double relative_change(const at::Tensor& a, const at::Tensor& b) {
  const at::Tensor now = a.to(at::kFloat), before = b.to(at::kFloat);
  return ((now - before).abs().mean() / before.abs().mean()).item<double>();
}

at::Tensor visual(const at::Tensor& x, const TokenLayout& layout) {
  return x.narrow(1, layout.visual_begin(), layout.visual_tokens());
}

std::int64_t bytes_of(const at::Tensor& tensor) {
  return tensor.defined() ? static_cast<std::int64_t>(tensor.nbytes()) : 0;
}

}  // namespace ditscope
