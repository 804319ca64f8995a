#include "core/bridge/anchored_rows.h"

#include <ATen/ATen.h>

#include <cmath>
#include <limits>

#include "core/bridge/vector_math.h"
#include "core/bridge/views.h"
#include "kernels/cpu/parallel.h"

namespace ditscope {
namespace {

constexpr float kMinusInfinity = -std::numeric_limits<float>::infinity();

DITSCOPE_VECTOR_CLONES float soften_row(float* __restrict x, std::int64_t width) {
  constexpr std::int64_t kLanes = 16;
  float highest[kLanes], sums[kLanes] = {};
  for (std::int64_t j = 0; j < kLanes; ++j) highest[j] = kMinusInfinity;
  std::int64_t i = 0;
  for (; i + kLanes <= width; i += kLanes)
    for (std::int64_t j = 0; j < kLanes; ++j) highest[j] = x[i + j] > highest[j] ? x[i + j] : highest[j];
  for (; i < width; ++i) highest[0] = x[i] > highest[0] ? x[i] : highest[0];
  float top = kMinusInfinity;
  for (const float lane : highest) top = lane > top ? lane : top;
  if (top == kMinusInfinity) {
    for (i = 0; i < width; ++i) x[i] = 0;
    return kMinusInfinity;
  }
  for (i = 0; i + kLanes <= width; i += kLanes) {
    for (std::int64_t j = 0; j < kLanes; ++j) {
      x[i + j] = exponential(x[i + j] - top);
      sums[j] += x[i + j];
    }
  }
  for (; i < width; ++i) {
    x[i] = exponential(x[i] - top);
    sums[0] += x[i];
  }
  float sum = 0;
  for (const float lane : sums) sum += lane;
  const float factor = 1 / sum;
  for (i = 0; i < width; ++i) x[i] *= factor;
  return top + std::log(sum);
}

/// One row: out = rho out + added, added = scale residual + rest moved.
template <typename Element>
inline __attribute__((always_inline)) void blend(Element* __restrict out, const Element* __restrict residual, const float* __restrict moved,
                                                 Element* __restrict added, float rho, float scale, float rest, std::int64_t width) {
  for (std::int64_t c = 0; c < width; ++c) {
    const float a = scale * load_element(residual + c) + (moved ? rest * moved[c] : 0.0f);
    store_element(added + c, a);
    store_element(out + c, rho * load_element(out + c) + a);
  }
}
DITSCOPE_VECTOR_CLONES void blend_row(float* out, const float* residual, const float* moved, float* added, float rho, float scale, float rest,
                                      std::int64_t width) {
  blend(out, residual, moved, added, rho, scale, rest, width);
}
DITSCOPE_VECTOR_CLONES void blend_row(std::uint16_t* out, const std::uint16_t* residual, const float* moved, std::uint16_t* added, float rho,
                                      float scale, float rest, std::int64_t width) {
  blend(out, residual, moved, added, rho, scale, rest, width);
}

template <typename Element>
void on_cpu(AnchoredRows& r, at::Tensor& out) {
  const std::int64_t heads = out.size(0), slots = out.size(1), width = out.size(2), groups = r.offsets.numel() - 1;
  const std::int64_t* offset = r.offsets.const_data_ptr<std::int64_t>();
  const at::Tensor residual = r.residual.contiguous(), moved = r.moved.defined() ? r.moved.contiguous() : at::Tensor();
  const bool measured = r.log_sum_exp.defined();
  const float *skipped = r.skipped.const_data_ptr<float>(), *log_skipped = r.log_skipped.const_data_ptr<float>(),
              *log_kept = measured ? r.log_sum_exp.const_data_ptr<float>() : nullptr,
              *log_moved = r.log_moved.defined() ? r.log_moved.const_data_ptr<float>() : nullptr,
              *moved_rows = moved.defined() ? moved.const_data_ptr<float>() : nullptr;
  const auto* residuals = static_cast<const Element*>(residual.const_data_ptr());
  auto *outs = static_cast<Element*>(out.data_ptr()), *added = static_cast<Element*>(r.added.data_ptr());
  float* const rhos = r.rho.data_ptr<float>();
  const std::int64_t head_stride = out.stride(0), token_stride = out.stride(1);
  const auto body = [&](std::int64_t h) {
    for (std::int64_t a = 0; a < groups; ++a) {
      const float change = log_moved ? log_moved[h * groups + a] : 0;
      for (std::int64_t s = offset[a]; s < offset[a + 1]; ++s) {
        const std::int64_t at = h * slots + s;
        float rho = 1 - skipped[at], rest = skipped[at];
        if (measured) {
          const float rises = log_skipped[at] + change - log_kept[at];
          const float small = std::exp(-std::fabs(rises)), larger = 1 / (1 + small), smaller = small * larger;
          const bool neither = std::isnan(rises);  // -inf on both sides
          rho = neither ? 1 : rises <= 0 ? larger : smaller;
          rest = neither ? 0 : rises <= 0 ? smaller : larger;
        }
        rhos[at] = rho;
        const float scale = std::fmin(rest / skipped[at], r.largest_scale);
        blend_row(outs + h * head_stride + s * token_stride, residuals + at * width, moved_rows ? moved_rows + (h * groups + a) * width : nullptr,
                  added + at * width, rho, scale, rest, width);
      }
    }
  };
  cpu::parallel_for(workers_for(heads, slots / kBlockTokens), heads, body);
}

void in_torch(AnchoredRows& r, at::Tensor& out) {
  const at::Tensor of = r.group_of.to(out.device());
  at::Tensor rest = r.skipped;  // (H,S)
  if (r.log_sum_exp.defined()) {
    const at::Tensor change = r.log_moved.defined() ? r.log_moved.index_select(1, of) : at::zeros_like(r.log_skipped);
    rest = at::sigmoid(r.log_skipped + change - r.log_sum_exp).nan_to_num(0);
  }
  r.rho.copy_(1 - rest);
  at::Tensor added = r.residual.to(at::kFloat) * (rest / r.skipped).clamp_max(r.largest_scale).unsqueeze(2);  // (H,S,D)
  if (r.moved.defined()) added = added + rest.unsqueeze(2) * r.moved.index_select(1, of);
  out.copy_(out.to(at::kFloat) * r.rho.unsqueeze(2) + added);
  r.added.copy_(added);
}

}  // namespace

at::Tensor soften_rows(at::Tensor& logits) {
  if (!logits.is_cpu()) {
    const at::Tensor sums = at::logsumexp(logits, 2);
    logits.sub_(sums.unsqueeze(2)).exp_().nan_to_num_(0, 0, 0);
    return sums;
  }
  const std::int64_t rows = logits.size(0) * logits.size(1), width = logits.size(2);
  const at::Tensor sums = at::empty({logits.size(0), logits.size(1)}, logits.options());
  float *x = logits.data_ptr<float>(), *sum = sums.data_ptr<float>();
  cpu::parallel_for(workers_for(logits.size(0), logits.size(1) / 16), logits.size(0), [&](std::int64_t h) {
    for (std::int64_t i = h * (rows / logits.size(0)); i < (h + 1) * (rows / logits.size(0)); ++i) sum[i] = soften_row(x + i * width, width);
  });
  return sums;
}

void add_anchored(AnchoredRows& rows, at::Tensor& out) {
  rows.rho = at::empty_like(rows.skipped);
  rows.added = at::empty(out.sizes(), out.options());
  const bool same_type = rows.residual.scalar_type() == out.scalar_type();
  if (out.is_cpu() && same_type && out.stride(2) == 1 && (out.scalar_type() == at::kFloat || out.scalar_type() == at::kBFloat16))
    return out.scalar_type() == at::kFloat ? on_cpu<float>(rows, out) : on_cpu<std::uint16_t>(rows, out);
  in_torch(rows, out);
}

}  // namespace ditscope
