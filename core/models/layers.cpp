#include "core/models/layers.h"

#include <ATen/ATen.h>
#include <c10/core/GradMode.h>

#include <cmath>

#include "core/models/gelu.h"

namespace ditscope {

Linear Linear::take(const WeightScope& scope, std::int64_t in, std::int64_t out, bool bias) {
  Linear layer;
  layer.weight = scope.take("weight", {out, in});
  if (bias) layer.bias = scope.take("bias", {out});
  return layer;
}

at::Tensor Linear::operator()(const at::Tensor& x) const {
  return at::linear(x, weight, bias);
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
