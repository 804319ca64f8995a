#pragma once
#include <ATen/core/Tensor.h>

#include <cstdint>
#include <string>

#include "core/checkpoint/weight_source.h"

namespace ditscope {

/// An activation by the name diffusers gives it.
enum class Activation { Silu, Gelu, GeluTanh, Relu, Mish };
/// In place where no gradient is asked for; `x` is then overwritten.
at::Tensor activate(at::Tensor x, Activation activation);

/// y = x W^T + b
struct Linear {
  at::Tensor weight;  // (Cout,Cin)
  at::Tensor bias;    // (Cout), undefined without bias

  static Linear take(const WeightScope& scope, std::int64_t in, std::int64_t out, bool bias = true);
  at::Tensor operator()(const at::Tensor& x) const;  // (...,Cin) -> (...,Cout)
  /// activate(y), in one pass over y where oneDNN can.
  at::Tensor activated(const at::Tensor& x, Activation activation) const;  // (...,Cin) -> (...,Cout)
  /// Additions and multiplications for `rows` rows of x.
  double flop(std::int64_t rows) const;
};

/// True where the CPU multiplies bfloat16 matrices in hardware (AVX-512 BF16); DITSCOPE_ISA can say no.
bool native_bfloat16();

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

/// True where results may be written over their inputs: no graph is being recorded.
bool may_work_in_place();

}  // namespace ditscope
