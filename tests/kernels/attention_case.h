#pragma once
#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "kernels/block_sparse_attention.h"
#include "kernels/reference/attention.h"

namespace ditscope::test {

inline Bfloat16Bits to_bfloat16(float value) {
  std::uint32_t bits;
  std::memcpy(&bits, &value, 4);
  return static_cast<Bfloat16Bits>((bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16);
}
inline float from_bfloat16(Bfloat16Bits value) {
  const std::uint32_t bits = std::uint32_t{value} << 16;
  float result;
  std::memcpy(&result, &bits, 4);
  return result;
}
inline float to_float(float value) {
  return value;
}
inline float to_float(Bfloat16Bits value) {
  return from_bfloat16(value);
}
template <typename Element>
Element from_float(float value) {
  if constexpr (std::is_same_v<Element, float>)
    return value;
  else
    return to_bfloat16(value);
}

/// Sets an environment variable for a scope.
class ScopedVariable {
 public:
  ScopedVariable(const char* name, const std::string& value) : name_(name) { setenv(name, value.c_str(), 1); }
  ~ScopedVariable() { unsetenv(name_); }

 private:
  const char* name_;
};

inline Workers threads(int count) {
  return {count, [count](const std::function<void()>& body) {
            std::vector<std::thread> all;
            for (int i = 0; i < count; ++i) all.emplace_back(body);
            for (std::thread& thread : all) thread.join();
          }};
}

/// A (H,T,D) array with room between heads, tokens and channels, so that strides are tested.
template <typename Element>
struct Array {
  std::vector<Element> storage;
  std::array<std::int64_t, 3> shape{}, stride{};

  Array(std::int64_t heads, std::int64_t tokens, std::int64_t width, bool token_major = false, int channel_step = 1) {
    shape = {heads, tokens, width};
    if (token_major)
      stride = {width * channel_step, heads * width * channel_step, channel_step};  // (T,H,D), as models lay it out
    else
      stride = {tokens * (width * channel_step + 3), width * channel_step + 3, channel_step};
    storage.resize(static_cast<std::size_t>(heads * tokens * (width * channel_step + 3) + 16));
  }
  Element& at(std::int64_t h, std::int64_t t, std::int64_t c) {
    return storage[static_cast<std::size_t>(h * stride[0] + t * stride[1] + c * stride[2])];
  }
  HostView<Element, 3> view() { return {storage.data(), shape, stride}; }
  HostView<const Element, 3> const_view() const { return {storage.data(), shape, stride}; }
  std::vector<double> doubles() {
    std::vector<double> all;
    for (std::int64_t h = 0; h < shape[0]; ++h)
      for (std::int64_t t = 0; t < shape[1]; ++t)
        for (std::int64_t c = 0; c < shape[2]; ++c) all.push_back(to_float(at(h, t, c)));
    return all;
  }
  void fill_normal(std::mt19937& random, float scale, int outlier_every = 0) {
    std::normal_distribution<float> normal;
    for (std::int64_t h = 0; h < shape[0]; ++h)
      for (std::int64_t t = 0; t < shape[1]; ++t)
        for (std::int64_t c = 0; c < shape[2]; ++c) {
          const bool outlier = outlier_every > 0 && (t * 7 + c) % outlier_every == 0;
          at(h, t, c) = from_float<Element>(normal(random) * scale * (outlier ? 30.0f : 1.0f));
        }
  }
};

/// Random q, k, v of one shape.
template <typename Element>
struct AttentionCase {
  Array<Element> q, k, v, out;
  std::vector<float> log_sum_exp;
  float scale;

  AttentionCase(int heads, int queries, int keys, int width, std::uint32_t seed, bool token_major = false, int channel_step = 1,
                int outlier_every = 0)
      : q(heads, queries, width, token_major, channel_step),
        k(heads, keys, width, token_major, channel_step),
        v(heads, keys, width, token_major, channel_step),
        out(heads, queries, width, token_major, channel_step),
        log_sum_exp(static_cast<std::size_t>(heads) * queries, 777.0f),
        scale(1.0f / std::sqrt(static_cast<float>(width))) {
    std::mt19937 random(seed);
    q.fill_normal(random, 1, outlier_every);
    k.fill_normal(random, 1, outlier_every);
    v.fill_normal(random, 1);
    for (Element& element : out.storage) element = from_float<Element>(777);
  }
  AttentionArguments<Element> arguments(const BlockMask* mask) {
    AttentionArguments<Element> a;
    a.q = q.const_view();
    a.k = k.const_view();
    a.v = v.const_view();
    a.scale = scale;
    a.mask = mask;
    a.out = out.view();
    a.log_sum_exp = {log_sum_exp.data(), {q.shape[0], q.shape[1]}, {q.shape[1], 1}};
    return a;
  }
  reference::AttentionResult expected(const std::function<bool(int, int, int)>& keeps) {
    return reference::attention(q.doubles(), k.doubles(), v.doubles(), static_cast<int>(q.shape[0]), static_cast<int>(q.shape[1]),
                                static_cast<int>(k.shape[1]), static_cast<int>(q.shape[2]), scale, keeps);
  }
};

/// sqrt(sum (a-b)^2 / sum b^2).
inline double relative_error(const std::vector<double>& actual, const std::vector<double>& expected) {
  double difference = 0, norm = 0;
  for (std::size_t i = 0; i < expected.size(); ++i) {
    difference += (actual[i] - expected[i]) * (actual[i] - expected[i]);
    norm += expected[i] * expected[i];
  }
  return norm == 0 ? std::sqrt(difference) : std::sqrt(difference / norm);
}

}  // namespace ditscope::test
