#pragma once
#include <ATen/core/Tensor.h>

#include <cstdint>
#include <string>

#include "core/checkpoint/weight_source.h"

namespace ditscope {

/// y = x W^T + b
struct Linear {
  at::Tensor weight;  // (Cout,Cin)
  at::Tensor bias;    // (Cout), undefined without bias

  static Linear take(const WeightScope& scope, std::int64_t in, std::int64_t out, bool bias = true);
  at::Tensor operator()(const at::Tensor& x) const;  // (...,Cin) -> (...,Cout)
};

/// Normalises the last dimension; statistics in float32 whatever the dtype.
struct LayerNorm {
  at::Tensor weight, bias;  // (C), undefined without affine
  std::int64_t width = 0;
  double eps = 1e-5;

  static LayerNorm take(const WeightScope& scope, std::int64_t width, double eps, bool affine = true);
  at::Tensor operator()(const at::Tensor& x) const;  // (...,C)
};

/// Sinusoids of a scalar, [sin|cos], or [cos|sin] when flipped; float32.
/// Frequencies exp(-ln(10000) i / (width/2 - freq_shift)).
at::Tensor timestep_sinusoids(const at::Tensor& timestep, std::int64_t width, bool flip_sin_to_cos,
                              double freq_shift);  // (B,width)

/// An activation by the name diffusers gives it.
enum class Activation { Silu, Gelu, GeluTanh, Relu, Mish };
/// In place where no gradient is asked for; `x` is then overwritten.
at::Tensor activate(at::Tensor x, Activation activation);

/// True where results may be written over their inputs: no graph is being recorded.
bool may_work_in_place();

}  // namespace ditscope
