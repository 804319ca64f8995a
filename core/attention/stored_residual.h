#pragma once
#include <ATen/core/Tensor.h>

#include <cstdint>

#include "core/attention/method.h"
#include "core/catalog/parameter.h"

namespace ditscope {

/// How a residual is held between a refresh and the next: what it costs in memory against what it loses.
struct ResidualStorage {
  enum class Form {
    AsComputed,  ///< the type of q
    Float32,
    Bfloat16,
    Float8,   ///< e4m3, one float32 scale max|R| / 448 a head and channel
    LowRank,  ///< R = U V^T a head, the best of its rank in the sense of least squares; float32
    Host,     ///< as computed, in the memory of the host: each sparse step fetches it; on a CPU the same as computed
  };
  Form form = Form::AsComputed;
  std::int64_t rank = 16;

  /// Of the parameters `residual` and `residual_rank`.
  static ResidualStorage of(const ParameterValues& parameters);
  /// Bytes of the residuals of all layers, batch elements and heads.
  std::int64_t estimate_bytes(const MethodSizes& sizes) const;
  /// Those of them that lie in the host's memory, wherever the run is.
  std::int64_t estimate_host_bytes(const MethodSizes& sizes) const { return form == Form::Host ? estimate_bytes(sizes) : 0; }
};

/// One residual (H,S,D), held in some form. An immutable value: copies share their tensors.
class StoredResidual {
 public:
  StoredResidual() = default;
  StoredResidual(const at::Tensor& residual, const ResidualStorage& storage);
  bool defined() const { return values_.defined(); }
  /// (H,S,D) in the type it had and where it was; undefined where nothing is held.
  at::Tensor restored() const;
  std::int64_t bytes() const;

 private:
  at::Tensor values_;   // (H,S,D), or U (H,S,r)
  at::Tensor factors_;  // scales (H,1,D), or V (H,D,r); undefined in other forms
  at::ScalarType type_ = at::kFloat;
  at::Device device_ = at::kCPU;  ///< where it is wanted
  bool low_rank_ = false;
};

}  // namespace ditscope
