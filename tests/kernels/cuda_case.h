#pragma once
#include <gtest/gtest.h>

#include <cmath>
#include <functional>
#include <limits>
#include <random>
#include <string>
#include <vector>

#include "kernels/cuda/gpu.h"
#include "kernels/cuda/int8_launch.h"
#include "kernels/cuda/launch.h"
#include "kernels/reference/block_mass.h"
#include "tests/kernels/attention_case.h"

// A call of the CUDA kernels in memory of the CPU, for the emulated ones.
namespace ditscope::test {

template <typename Element>
Element narrow(float value) {
  if constexpr (std::is_same_v<Element, float>)
    return value;
  else if constexpr (std::is_same_v<Element, Bfloat16Bits>)
    return gpu::Arithmetic<Element>::narrow(value);
  else
    return {gpu::Arithmetic<Element>::narrow(value)};
}
template <typename Element>
float widen(Element value) {
  if constexpr (std::is_same_v<Element, float>)
    return value;
  else if constexpr (std::is_same_v<Element, Bfloat16Bits>)
    return gpu::Arithmetic<Element>::widen(value);
  else
    return gpu::Arithmetic<Element>::widen(value.bits);
}

/// (H,T,D) in memory of its own, with room between rows; aligned to 16 bytes, or as only float32 may be.
template <typename Element>
struct Plane {
  std::vector<Element> storage;
  DeviceView<Element, 3> view;
  Element* first = nullptr;

  Plane(int heads, int tokens, int width, bool aligned) {
    const std::int64_t row = aligned ? (width + 15) / 8 * 8 : 2 * width + 3;
    storage.resize(static_cast<std::size_t>(heads * tokens * row) + 32);
    first = storage.data();
    while (reinterpret_cast<std::uintptr_t>(first) % 16 != 0) ++first;
    view = {first + (aligned ? 0 : 1), {heads, tokens, width}, {tokens * row, row, aligned ? 1 : 2}};
  }
  Plane(const Plane&) = delete;
  Element& at(std::int64_t h, std::int64_t t, std::int64_t c) {
    return view.data[h * view.stride[0] + t * view.stride[1] + c * view.stride[2]];
  }
  DeviceView<const Element, 3> constant() const { return {view.data, view.shape, view.stride}; }
  void fill(std::mt19937& random, float scale, int outlier_every = 0) {
    std::normal_distribution<float> normal;
    for (int h = 0; h < view.shape[0]; ++h)
      for (int t = 0; t < view.shape[1]; ++t)
        for (int c = 0; c < view.shape[2]; ++c) {
          const bool outlier = outlier_every > 0 && (t * 7 + c) % outlier_every == 0;
          at(h, t, c) = narrow<Element>(normal(random) * scale * (outlier ? 30.0f : 1.0f));
        }
  }
  void poison() {
    for (Element& element : storage) element = narrow<Element>(777);
  }
  std::vector<double> doubles() {
    std::vector<double> all;
    for (int h = 0; h < view.shape[0]; ++h)
      for (int t = 0; t < view.shape[1]; ++t)
        for (int c = 0; c < view.shape[2]; ++c) all.push_back(widen(at(h, t, c)));
    return all;
  }
};

template <typename Element>
struct CudaCase {
  int heads, queries, keys, width;
  float scale;
  Plane<Element> q, k, v, out, residual;
  std::vector<float> log_sum_exp, log_sum_exp_kept, row_scale;

  CudaCase(int heads, int queries, int keys, int width, std::uint32_t seed, bool aligned = true, int outlier_every = 0)
      : heads(heads),
        queries(queries),
        keys(keys),
        width(width),
        scale(1 / std::sqrt(static_cast<float>(width))),
        q(heads, queries, width, aligned),
        k(heads, keys, width, aligned),
        v(heads, keys, width, aligned),
        out(heads, queries, width, aligned),
        residual(heads, queries, width, aligned),
        log_sum_exp(static_cast<std::size_t>(heads * queries), 777.0f),
        log_sum_exp_kept(log_sum_exp),
        row_scale(log_sum_exp) {
    std::mt19937 random(seed);
    q.fill(random, 1, outlier_every);
    k.fill(random, 1, outlier_every);
    v.fill(random, 1);
    residual.fill(random, 1);
    for (float& value : row_scale) value = std::uniform_real_distribution<float>(0, 2)(random);
    out.poison();
  }
  template <typename T>
  DeviceView<T, 2> rows(std::vector<float>& values) const {
    return {values.data(), {heads, queries}, {queries, 1}};
  }
  CudaAttentionArguments<Element> arguments() {
    CudaAttentionArguments<Element> a;
    a.q = q.constant();
    a.k = k.constant();
    a.v = v.constant();
    a.scale = scale;
    a.out = out.view;
    a.log_sum_exp = rows<float>(log_sum_exp);
    return a;
  }
  CudaSplitArguments<Element> split_arguments(bool unit_rho) {
    CudaSplitArguments<Element> a;
    a.q = q.constant();
    a.k = k.constant();
    a.v = v.constant();
    a.scale = scale;
    a.unit_rho = unit_rho;
    a.out = out.view;
    a.residual = residual.view;
    a.log_sum_exp = rows<float>(log_sum_exp);
    a.log_sum_exp_kept = rows<float>(log_sum_exp_kept);
    return a;
  }
  reference::AttentionResult expected(const std::function<bool(int, int, int)>& keeps) {
    return reference::attention(q.doubles(), k.doubles(), v.doubles(), heads, queries, keys, width, scale, keeps);
  }
};

template <typename Element>
struct Tolerance {
  static constexpr double kOut = std::is_same_v<Element, float> ? 5e-6 : std::is_same_v<Element, Bfloat16Bits> ? 8e-3 : 1.5e-3;
  static constexpr double kLse = std::is_same_v<Element, float> ? 2e-5 : 1e-3;
};

template <typename Element>
void expect_equal(CudaCase<Element>& c, const reference::AttentionResult& expected, const std::string& what,
                  bool outliers = false) {
  EXPECT_LT(relative_error(c.out.doubles(), expected.out), Tolerance<Element>::kOut * (outliers ? 10 : 1)) << what;
  for (std::size_t i = 0; i < expected.log_sum_exp.size(); ++i) {
    if (std::isinf(expected.log_sum_exp[i])) {
      ASSERT_EQ(c.log_sum_exp[i], -std::numeric_limits<float>::infinity()) << what << " row " << i;
    } else {
      ASSERT_NEAR(c.log_sum_exp[i], expected.log_sum_exp[i],
                  Tolerance<Element>::kLse * (outliers ? 10 : 1) * std::max(1.0, std::abs(expected.log_sum_exp[i]) / 10))
          << what << " row " << i;
    }
  }
}

template <typename Element>
void expect_equal(CudaCase<Element>& c, const BlockMask& mask, const std::string& what, bool outliers = false) {
  expect_equal(c, c.expected([&](int h, int i, int j) { return mask.keeps(h, i, j); }), what, outliers);
}

/// Runs a kernel on the emulated GPU, as attention.cu chooses among them (cuda_emulation_test.cpp).
template <typename Element, bool kSplit>
void run_emulated(const cuda::Parameters& p, int tile_blocks, bool backwards = false);
/// The same for compute capability 9.0 (cuda_hopper_test.cpp).
template <typename Element, bool kSplit>
void run_emulated_hopper(const cuda::Parameters& p, bool backwards = false);

/// The kernels of an int8 call, as int8_kernels.cu launches them (cuda_int8_test.cpp).
template <typename Element>
void run_emulated_int8(const cuda::Int8Launch& launch, int tile_blocks, bool backwards = false);

/// The kernels of block masses, as mass_kernels.cu chooses among them (cuda_mass_test.cpp).
template <typename Element>
void run_emulated_mass(const cuda::MassParameters& p, bool backwards = false);

/// Scratch memory on the CPU, at a multiple of 16 bytes, with a word behind it that nobody may write.
struct Int8Scratch {
  static constexpr std::uint64_t kPoison = 0x7777777777777777u;
  std::vector<std::uint64_t> words;

  Int8Scratch(const AttentionPlan& plan, int width, const Int8Options& options)
      : words(static_cast<std::size_t>(cuda_int8_scratch_bytes(plan.layout, width, options) / 8 + 2), kPoison) {}
  void* place() { return reinterpret_cast<void*>((reinterpret_cast<std::uintptr_t>(words.data()) + 15) / 16 * 16); }
  bool whole() const { return words.back() == kPoison; }
};

inline DevicePlan placed(AttentionPlan& plan) {
  return {plan.layout, plan.words.data()};
}

/// What a split says of the kept pairs, and its residual.
template <typename Element>
void expect_residual(CudaCase<Element>& c, const BlockMask& mask, bool unit_rho, const std::string& what) {
  const auto full = c.expected([](int, int, int) { return true; });
  const auto kept = c.expected([&](int h, int i, int j) { return mask.keeps(h, i, j); });
  std::vector<double> residual;
  for (std::size_t n = 0; n < full.out.size(); ++n) {
    const std::size_t row = n / static_cast<std::size_t>(c.width);
    const double rho = unit_rho ? 1 : std::exp(kept.log_sum_exp[row] - full.log_sum_exp[row]);
    residual.push_back(full.out[n] - rho * kept.out[n]);
    if (n % static_cast<std::size_t>(c.width) != 0) continue;
    if (std::isinf(kept.log_sum_exp[row])) {
      ASSERT_EQ(c.log_sum_exp_kept[row], -std::numeric_limits<float>::infinity());
    } else {
      ASSERT_NEAR(c.log_sum_exp_kept[row], kept.log_sum_exp[row], 1e-3);
    }
  }
  EXPECT_LT(relative_error(c.residual.doubles(), residual), 2 * Tolerance<Element>::kOut) << what;
}

/// Room for the masses of blocks of a call, and for what leads to them.
struct BlockMasses {
  std::int64_t heads, rows, columns;
  std::vector<float> mass, logs;

  template <typename Element>
  BlockMasses(const CudaCase<Element>& c, const AttentionPlan& plan, int blocks)
      : heads(c.heads),
        rows((c.queries + 63) / 64),
        columns((c.keys + 63) / 64),
        mass(static_cast<std::size_t>(heads * rows * columns), 777.0f),
        logs(static_cast<std::size_t>(cuda::block_log_floats(plan.layout, blocks)), NAN) {}
  DeviceView<float, 3> view() { return {mass.data(), {heads, rows, columns}, {rows * columns, columns, 1}}; }

  /// Against softmax shares in float64: sums over the queries of a block, or means.
  template <typename Element>
  void expect_exact(CudaCase<Element>& c, const std::function<bool(int, int, int)>& keeps, bool mean, const std::string& what) {
    const std::vector<double> lse = c.expected(keeps).log_sum_exp;
    std::vector<double> expected = reference::block_mass(c.q.doubles(), c.k.doubles(), lse, c.heads, c.queries, c.keys, c.width,
                                                         c.scale, 64, keeps, [](int) { return 1.0; });
    for (std::size_t n = 0; n < expected.size(); ++n) {
      const std::int64_t block = static_cast<std::int64_t>(n) / columns % rows;
      if (mean) expected[n] /= static_cast<double>(std::min<std::int64_t>(64, c.queries - 64 * block));
      if (expected[n] == 0) {
        ASSERT_EQ(mass[n], 0) << what << ": a block that is skipped";
      }
    }
    EXPECT_LT(relative_error({mass.begin(), mass.end()}, expected), 1e-4) << what;
  }
};

}  // namespace ditscope::test
