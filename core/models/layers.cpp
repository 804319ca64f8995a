#include "core/models/layers.h"

#include <ATen/ATen.h>
#include <ATen/core/dispatch/Dispatcher.h>
#include <c10/core/GradMode.h>

#include <cmath>
#include <optional>
#include <string_view>

#include "core/models/gelu.h"
#include "kernels/block_sparse_attention.h"

namespace ditscope {
namespace {

/// Fewer rows than this are a matter of reading the weights once, which at::linear does without rearranging them.
constexpr std::int64_t kFewRows = 32;

/// oneDNN's x W^T + b with an activation behind it. LibTorch sends float32 to MKL instead, which keeps to AVX2 on AMD: half the speed.
using Pointwise = at::Tensor(const at::Tensor&, const at::Tensor&, const std::optional<at::Tensor>&, std::string_view,
                             c10::List<std::optional<at::Scalar>>, std::optional<std::string_view>);

const std::optional<c10::TypedOperatorHandle<Pointwise>>& pointwise() {
  static const auto handle = []() -> std::optional<c10::TypedOperatorHandle<Pointwise>> {
    if (!at::hasMKLDNN()) return std::nullopt;
    const auto found = c10::Dispatcher::singleton().findSchema({"mkldnn::_linear_pointwise", ""});
    if (!found) return std::nullopt;
    return found->typed<Pointwise>();
  }();
  return handle;
}

bool takes_pointwise(const at::Tensor& x, const at::Tensor& weight) {
  if (c10::GradMode::is_enabled() || !x.is_cpu() || x.scalar_type() != weight.scalar_type()) return false;
  if (x.scalar_type() != at::kFloat && !(x.scalar_type() == at::kBFloat16 && native_bfloat16())) return false;
  return x.numel() >= kFewRows * x.size(-1) && at::globalContext().userEnabledMkldnn() && pointwise();
}

at::Tensor run_pointwise(const at::Tensor& x, const Linear& layer, std::string_view attribute, std::string_view algorithm) {
  const std::optional<at::Tensor> bias = layer.bias.defined() ? std::optional(layer.bias) : std::nullopt;
  return pointwise()->call(x.contiguous(), layer.weight, bias, attribute, c10::List<std::optional<at::Scalar>>(), algorithm);
}

}  // namespace

bool native_bfloat16() {
  static const bool native = available_instruction_sets().front() == "avx512bf16";
  return native;
}

Linear Linear::take(const WeightScope& scope, std::int64_t in, std::int64_t out, bool bias) {
  Linear layer;
  layer.weight = scope.take("weight", {out, in});
  if (bias) layer.bias = scope.take("bias", {out});
  return layer;
}

at::Tensor Linear::operator()(const at::Tensor& x) const {
  return takes_pointwise(x, weight) ? run_pointwise(x, *this, "none", "") : at::linear(x, weight, bias);
}

at::Tensor Linear::activated(const at::Tensor& x, Activation activation) const {
  const bool gelu = activation == Activation::Gelu || activation == Activation::GeluTanh;
  if (!gelu || !takes_pointwise(x, weight)) return activate((*this)(x), activation);
  return run_pointwise(x, *this, "gelu", activation == Activation::GeluTanh ? "tanh" : "none");
}

double Linear::flop(std::int64_t rows) const {
  return 2.0 * static_cast<double>(rows) * static_cast<double>(weight.numel());
}

LayerNorm LayerNorm::take(const WeightScope& scope, std::int64_t width, double eps, bool affine) {
  LayerNorm layer;
  layer.width = width;
  layer.eps = eps;
  if (affine) {
    layer.weight = scope.take("weight", {width});
    layer.bias = scope.take("bias", {width});
  }
  return layer;
}

at::Tensor LayerNorm::operator()(const at::Tensor& x) const {
  return at::layer_norm(x, {width}, weight, bias, eps);
}

at::Tensor timestep_sinusoids(const at::Tensor& timestep, std::int64_t width, bool flip_sin_to_cos, double freq_shift) {
  const std::int64_t half = width / 2;
  const auto options = at::TensorOptions().dtype(at::kFloat).device(timestep.device());
  const at::Tensor exponent = at::arange(half, options) * -std::log(10000.0) / (half - freq_shift);
  const at::Tensor angle = timestep.to(at::kFloat).unsqueeze(1) * at::exp(exponent).unsqueeze(0);  // (B,width/2)
  at::Tensor out = flip_sin_to_cos ? at::cat({angle.cos(), angle.sin()}, 1) : at::cat({angle.sin(), angle.cos()}, 1);
  return width % 2 == 0 ? out : at::constant_pad_nd(out, {0, 1});  // (B,width)
}

at::Tensor activate(at::Tensor x, Activation activation) {
  const bool in_place = may_work_in_place();
  switch (activation) {
    case Activation::Silu:
      return in_place ? at::silu_(x) : at::silu(x);
    case Activation::Gelu:
      return in_place ? at::gelu_(x) : at::gelu(x);
    case Activation::GeluTanh:
      if (!in_place) return at::gelu(x, "tanh");
      if (!x.is_cpu() || x.scalar_type() != at::kFloat || !x.is_contiguous()) return at::gelu_(x, "tanh");
      gelu_tanh_in_place(x);
      return x;
    case Activation::Relu:
      return in_place ? at::relu_(x) : at::relu(x);
    case Activation::Mish:
      return in_place ? at::mish_(x) : at::mish(x);
  }
  return x;
}

bool may_work_in_place() {
  return !c10::GradMode::is_enabled();
}

}  // namespace ditscope
