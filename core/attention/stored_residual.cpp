#include "core/attention/stored_residual.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <string>

namespace ditscope {

using Form = ResidualStorage::Form;

ResidualStorage ResidualStorage::of(const ParameterValues& parameters) {
  const std::string& name = std::get<std::string>(parameters.at("residual"));
  ResidualStorage storage;
  storage.rank = std::get<std::int64_t>(parameters.at("residual_rank"));
  if (name == "float32") storage.form = Form::Float32;
  if (name == "bf16") storage.form = Form::Bfloat16;
  if (name == "fp8") storage.form = Form::Float8;
  if (name == "low_rank") storage.form = Form::LowRank;
  if (name == "host") storage.form = Form::Host;
  return storage;
}

std::int64_t ResidualStorage::estimate_bytes(const MethodSizes& s) const {
  const std::int64_t heads = s.layers * s.batch * s.heads, values = heads * s.tokens * s.head_dim;
  switch (form) {
    case Form::AsComputed:
    case Form::Host:
      return values * s.element_bytes;
    case Form::Float32:
      return values * 4;
    case Form::Bfloat16:
      return values * 2;
    case Form::Float8:
      return values + heads * s.head_dim * 4;
    case Form::LowRank:
      return heads * (s.tokens + s.head_dim) * std::min({rank, s.head_dim, s.tokens}) * 4;
  }
  return 0;
}

StoredResidual::StoredResidual(const at::Tensor& residual, const ResidualStorage& storage) : type_(residual.scalar_type()), device_(residual.device()) {
  switch (storage.form) {
    case Form::AsComputed:
      values_ = residual;
      return;
    case Form::Host:
      values_ = residual.to(at::kCPU);
      return;
    case Form::Float32:
      values_ = residual.to(at::kFloat);
      return;
    case Form::Bfloat16:
      values_ = residual.to(at::kBFloat16);
      return;
    case Form::Float8: {
      constexpr double kLargest = 448, kLeast = 1e-30;  // of e4m3; of a channel of zeros
      const at::Tensor wide = residual.to(at::kFloat);
      factors_ = wide.abs().amax(1, true).div(kLargest).clamp_min(kLeast);  // (H,1,D)
      values_ = wide.div(factors_).to(at::kFloat8_e4m3fn);                   // (H,S,D)
      return;
    }
    case Form::LowRank: {
      // V: eigenvectors of R^T R, largest last; U = R V. The same factors as a singular value decomposition, from a D x D matrix.
      low_rank_ = true;
      const at::Tensor wide = residual.to(at::kFloat), square = wide.to(at::kDouble);                // (H,S,D)
      const at::Tensor vectors = std::get<1>(at::linalg_eigh(at::matmul(square.transpose(1, 2), square)));  // (H,D,D)
      const std::int64_t width = wide.size(2), rank = std::min({storage.rank, width, wide.size(1)});
      factors_ = vectors.narrow(2, width - rank, rank).to(at::kFloat).contiguous();  // (H,D,r)
      values_ = at::matmul(wide, factors_);                                           // (H,S,r)
      return;
    }
  }
}

at::Tensor StoredResidual::restored() const {
  if (low_rank_) return at::matmul(values_, factors_.transpose(1, 2)).to(type_);
  if (factors_.defined()) return values_.to(at::kFloat).mul_(factors_).to(type_);
  return values_.defined() ? values_.to(device_, type_) : values_;
}

std::int64_t StoredResidual::bytes() const {
  const auto bytes_of = [](const at::Tensor& t) { return t.defined() ? static_cast<std::int64_t>(t.nbytes()) : 0; };
  return bytes_of(values_) + bytes_of(factors_);
}

}  // namespace ditscope
