#include "core/bridge/pv_skip.h"

#include <ATen/ATen.h>

#include "core/bridge/views.h"
#include "kernels/error.h"
#include "kernels/int8_attention.h"

namespace ditscope {
namespace {

template <typename Element>
void count(const LayerCall& one, const BlockMask& mask, const at::Tensor& pairs) {
  const at::Tensor q = widened(one.q[0]), k = widened(one.k[0]), v = widened(one.v[0]);  // (H,S,D)
  const at::Tensor out = at::empty(q.sizes(), q.options());
  AttentionArguments<Element> a;
  a.q = view<const Element, 3>(q);
  a.k = view<const Element, 3>(k);
  a.v = view<const Element, 3>(v);
  a.scale = static_cast<float>(one.scale);
  a.mask = &mask;
  a.out = view<Element, 3>(out);
  Int8Options options;
  options.pv_skip = view<const float, 1>(one.pv_skip);
  options.left_out_pairs = view<std::int64_t, 1>(pairs);
  if (one.qk == QkPrecision::Int8PerToken) options.query_group_tokens = options.key_group_tokens = 1;
  options.smooth_keys = one.qk != QkPrecision::Int8Unsmoothed;
  int8_attention(a, options, workers_for(q.size(0), mask.query_blocks()));
}

}  // namespace

at::Tensor pv_left_out(const LayerCall& one, const BlockMask& mask, std::int64_t tokens) {
  if (!kernel_takes(one)) throw Error(ErrorKind::Unsupported, "expected a call for the int8 kernel of the CPU, got another; leave pv_skip at 0");
  const at::Tensor pairs = at::zeros({one.q.size(1)}, at::kLong);
  one.q.scalar_type() == at::kBFloat16 ? count<Bfloat16Bits>(one, mask, pairs) : count<float>(one, mask, pairs);
  return pairs.to(at::kDouble) / (static_cast<double>(tokens) * static_cast<double>(tokens));
}

}  // namespace ditscope
