#pragma once
#include <ATen/ATen.h>
#include <cuda_runtime_api.h>
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <functional>
#include <random>
#include <string>
#include <vector>

#include "kernels/cuda/attention.h"
#include "kernels/reference/attention.h"

namespace ditscope::test {

template <typename Element>
constexpr at::ScalarType scalar_type() {
  return std::is_same_v<Element, float> ? at::kFloat : std::is_same_v<Element, Bfloat16Bits> ? at::kBFloat16 : at::kHalf;
}

template <typename Element, int kRank>
DeviceView<Element, kRank> device_view(const at::Tensor& tensor) {
  DeviceView<Element, kRank> view;
  if (!tensor.defined()) return view;
  view.data = static_cast<Element*>(tensor.data_ptr());
  for (int i = 0; i < kRank; ++i) {
    view.shape[i] = tensor.size(i);
    view.stride[i] = tensor.stride(i);
  }
  return view;
}

/// A plan and its bytes on the GPU.
struct UploadedPlan {
  PlanLayout layout;
  at::Tensor bytes;
  explicit UploadedPlan(const AttentionPlan& plan) : layout(plan.layout) {
    const at::Tensor host = at::empty({static_cast<std::int64_t>(plan.words.size())}, at::kLong);
    std::memcpy(host.data_ptr(), plan.words.data(), plan.words.size() * sizeof(plan.words[0]));
    bytes = host.to(at::kCUDA);
  }
  DevicePlan device() const { return {layout, bytes.data_ptr()}; }
};

/// q, k, v of one shape on the GPU, as heads of (T,H,D) memory, in the type of the kernel.
template <typename Element>
struct KernelCase {
  std::int64_t heads, queries, keys, width;
  double scale;
  at::Tensor q, k, v, out, residual, row_scale, log_sum_exp, log_sum_exp_kept, parts;

  KernelCase(std::int64_t heads, std::int64_t queries, std::int64_t keys, std::int64_t width, std::uint64_t seed,
             int outlier_every = 0)
      : heads(heads), queries(queries), keys(keys), width(width), scale(1 / std::sqrt(static_cast<double>(width))) {
    at::Generator generator = at::detail::createCPUGenerator(seed);
    const auto normal = [&](std::int64_t tokens, bool outliers) {
      at::Tensor t = at::randn({tokens, heads, width}, generator, at::TensorOptions(at::kFloat));
      if (outliers && outlier_every > 0) {
        t = t * at::where((at::arange(tokens * width).remainder(outlier_every) == 0).view({tokens, 1, width}), 30.0, 1.0);
      }
      return t.to(scalar_type<Element>()).to(at::kCUDA).transpose(0, 1);  // (H,T,D)
    };
    q = normal(queries, true);
    k = normal(keys, true);
    v = normal(keys, false);
    residual = normal(queries, false);
    out = at::full_like(q, 777.0);
    const auto floats = at::TensorOptions(at::kFloat).device(at::kCUDA);
    row_scale = at::rand({heads, queries}, generator, at::TensorOptions(at::kFloat)).to(at::kCUDA);
    log_sum_exp = at::full({heads, queries}, 777.0, floats);
    log_sum_exp_kept = at::full({heads, queries}, 777.0, floats);
  }
  CudaAttentionArguments<Element> arguments(const UploadedPlan& plan) {
    CudaAttentionArguments<Element> a;
    a.q = device_view<const Element, 3>(q);
    a.k = device_view<const Element, 3>(k);
    a.v = device_view<const Element, 3>(v);
    a.scale = static_cast<float>(scale);
    a.out = device_view<Element, 3>(out);
    a.log_sum_exp = device_view<float, 2>(log_sum_exp);
    if (const std::int64_t floats = part_floats(plan.layout, width); floats > 0) {
      parts = at::full({floats}, std::nan(""), at::TensorOptions(at::kFloat).device(at::kCUDA));
      a.parts = parts.data_ptr<float>();
    }
    return a;
  }
  CudaSplitArguments<Element> split_arguments(bool unit_rho) {
    CudaSplitArguments<Element> a;
    a.q = device_view<const Element, 3>(q);
    a.k = device_view<const Element, 3>(k);
    a.v = device_view<const Element, 3>(v);
    a.scale = static_cast<float>(scale);
    a.unit_rho = unit_rho;
    a.out = device_view<Element, 3>(out);
    a.residual = device_view<Element, 3>(residual);
    a.log_sum_exp = device_view<float, 2>(log_sum_exp);
    a.log_sum_exp_kept = device_view<float, 2>(log_sum_exp_kept);
    return a;
  }
  static std::vector<double> doubles(const at::Tensor& tensor) {
    const at::Tensor host = tensor.to(at::kCPU, at::kDouble).contiguous();
    return {host.data_ptr<double>(), host.data_ptr<double>() + host.numel()};
  }
  reference::AttentionResult expected(const std::function<bool(int, int, int)>& keeps) const {
    return reference::attention(doubles(q), doubles(k), doubles(v), static_cast<int>(heads), static_cast<int>(queries),
                                static_cast<int>(keys), static_cast<int>(width), scale, keeps);
  }
};

/// sqrt(sum (a-b)^2 / sum b^2); of nothing, the magnitude.
inline double relative_norm(const std::vector<double>& actual, const std::vector<double>& expected) {
  double difference = 0, norm = 0;
  for (std::size_t i = 0; i < expected.size(); ++i) {
    difference += (actual[i] - expected[i]) * (actual[i] - expected[i]);
    norm += expected[i] * expected[i];
  }
  return norm == 0 ? std::sqrt(difference) : std::sqrt(difference / norm);
}

/// Largest difference of two logarithms of masses; infinite where only one of them is of nothing.
inline double mass_error(const std::vector<double>& actual, const std::vector<double>& expected) {
  double worst = 0;
  for (std::size_t i = 0; i < expected.size(); ++i) {
    if (std::isinf(expected[i]) && actual[i] == expected[i]) continue;
    const double error = std::abs(actual[i] - expected[i]) / std::max(1.0, std::abs(expected[i]) / 10);
    worst = std::isnan(error) ? INFINITY : std::max(worst, error);
  }
  return worst;
}

}  // namespace ditscope::test
