#include "core/models/token_rows.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <vector>

#include "core/models/positions.h"

namespace ditscope {
namespace {

template <typename Element>
struct Type {
  static constexpr c10::ScalarType kType = at::kFloat;
  static constexpr double kTolerance = 2e-6;
};
template <>
struct Type<std::uint16_t> {
  static constexpr c10::ScalarType kType = at::kBFloat16;
  static constexpr double kTolerance = 8e-3;  // half a unit in the last of eight bits
};

template <typename Element>
Element* data(const at::Tensor& tensor) {
  return static_cast<Element*>(tensor.data_ptr());
}

double worst(const at::Tensor& a, const at::Tensor& b) {
  return ((a.to(at::kDouble) - b).abs() / b.abs().clamp_min(1)).max().item<double>();
}

template <typename Element>
void check_residual_norm(std::int64_t rows, std::int64_t width) {
  at::manual_seed(7);
  const auto type = Type<Element>::kType;
  // A mean far from zero beside a small spread.
  const at::Tensor x = at::randn({rows, width}) + 30, y = at::randn({rows, width}).to(type);
  const at::Tensor gate = at::randn({width}), gain = at::randn({width}), offset = at::randn({width});
  const at::Tensor stream = x.clone(), out = at::empty({rows, width}, type);
  residual_norm(stream.data_ptr<float>(), data<Element>(y), gate.data_ptr<float>(),
                {gain.data_ptr<float>(), offset.data_ptr<float>(), 1e-5f}, data<Element>(out), rows, width);
  const at::Tensor sum = x.to(at::kDouble) + gate.to(at::kDouble) * y.to(at::kDouble);
  EXPECT_LT(worst(stream, sum), 1e-6);
  const at::Tensor normed = at::layer_norm(stream.to(at::kDouble), {width}, gain.to(at::kDouble), offset.to(at::kDouble), 1e-5);
  EXPECT_LT(worst(out, normed), Type<Element>::kTolerance * 20) << rows << " x " << width;
}

TEST(TokenRows, AddAndNormAsTheirDefinitionSays) {
  for (const std::int64_t width : {1, 8, 16, 31, 64, 257}) {
    check_residual_norm<float>(3, width);
    check_residual_norm<std::uint16_t>(3, width);
  }
}

TEST(TokenRows, NothingToAddAndNothingToNormAreLeftOut) {
  const at::Tensor x = at::randn({2, 16}), kept = x.clone(), out = at::zeros({2, 16});
  const at::Tensor ones = at::ones({16}), zeros = at::zeros({16});
  const RowNorm norm{ones.data_ptr<float>(), zeros.data_ptr<float>(), 1e-5f};
  residual_norm(x.data_ptr<float>(), static_cast<const float*>(nullptr), nullptr, norm, out.data_ptr<float>(), 2, 16);
  EXPECT_TRUE(at::equal(x, kept));
  EXPECT_TRUE(at::allclose(out, at::layer_norm(kept, {16}), 1e-5, 1e-5));
  const at::Tensor gate = at::full({16}, 2.0f);
  residual_norm(x.data_ptr<float>(), kept.data_ptr<float>(), gate.data_ptr<float>(), {}, static_cast<float*>(nullptr), 2, 16);
  EXPECT_TRUE(at::allclose(x, 3 * kept));
}

TEST(TokenRows, WhatIsNoNumberStaysNone) {
  const at::Tensor x = at::full({1, 16}, std::nanf("")), ones = at::ones({16}), out = at::empty({1, 16}, at::kBFloat16);
  const RowNorm norm{ones.data_ptr<float>(), ones.data_ptr<float>(), 1e-5f};
  residual_norm(x.data_ptr<float>(), static_cast<const std::uint16_t*>(nullptr), nullptr, norm, data<std::uint16_t>(out), 1, 16);
  EXPECT_TRUE(at::isnan(out).all().item<bool>());
}

template <typename Element>
void check_split(std::int64_t heads, std::int64_t head_dim, bool turns) {
  at::manual_seed(9);
  const auto type = Type<Element>::kType;
  const std::int64_t tokens = 5;
  const at::Tensor qkv = at::randn({tokens, 3 * heads * head_dim}).to(type);
  const at::Tensor gain = at::randn({head_dim}), offset = at::randn({head_dim}), angle = at::randn({tokens, head_dim / 2});
  const at::Tensor table = at::complex(angle.cos(), angle.sin());  // (T,D/2)
  at::Tensor q = at::empty({heads, tokens, head_dim}, type), k = at::empty_like(q), v = at::empty_like(q);
  const RowNorm norm{gain.data_ptr<float>(), offset.data_ptr<float>(), 1e-6f};
  const HeadSplit split{heads, head_dim, tokens * head_dim, norm, norm,
                        turns ? static_cast<const float*>(table.const_data_ptr()) : nullptr};
  split_heads(data<Element>(qkv), split, data<Element>(q), data<Element>(k), data<Element>(v), tokens);

  const auto parts = qkv.to(at::kFloat).view({tokens, 3, heads, head_dim}).permute({1, 2, 0, 3}).unbind(0);  // 3 x (H,T,D)
  for (const auto& [got, part] : {std::pair{q, parts[0]}, {k, parts[1]}}) {
    at::Tensor expected = at::layer_norm(part, {head_dim}, gain, offset, 1e-6);
    if (turns) expected = rotate_pairs(expected.unsqueeze(0), table).squeeze(0);
    EXPECT_LT(worst(got, expected.to(at::kDouble)), Type<Element>::kTolerance * 5) << heads << " x " << head_dim;
  }
  EXPECT_TRUE(at::equal(v.to(at::kFloat), parts[2]));
}

TEST(TokenRows, HeadsAreNormedAndTurnedOneByOne) {
  for (const std::int64_t head_dim : {2, 8, 32, 64, 72, 512}) {
    for (const bool turns : {false, true}) {
      check_split<float>(3, head_dim, turns);
      check_split<std::uint16_t>(3, head_dim, turns);
    }
  }
}

}  // namespace
}  // namespace ditscope
