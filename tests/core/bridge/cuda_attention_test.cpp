// core/bridge/cuda_attention.cpp over kernels for GPUs that are executed on the CPU (emulated_gpu.cpp): how tensors of a call become
// arguments, plans, scratch memory and results. Sliced heads, widths that are no multiple of 8, float16.
#include "core/bridge/cuda_attention.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "tests/core/attention/calls.h"

namespace ditscope {
namespace {

constexpr double kNothing = -std::numeric_limits<double>::infinity();

struct TypeCase {
  at::ScalarType type;
  double out;  ///< relative difference of outputs
};

class CudaBridge : public ::testing::TestWithParam<TypeCase> {
 protected:
  static LayerCall make(std::int64_t width, std::uint64_t seed = 3) {
    TokenLayout layout;
    layout.text_tokens = 7;
    layout.frames = 3;
    layout.rows = 6;
    layout.columns = 8;  // 151 tokens
    return test::make_call(layout, 0, 1, seed, 2, 2, width, GetParam().type);
  }
  static double distance(const at::Tensor& a, const at::Tensor& b) {
    const at::Tensor wide = b.to(at::kDouble);
    return ((a.to(at::kDouble) - wide).norm() / wide.norm()).item<double>();
  }
};

/// A band, with a query block that keeps nothing of its first rows.
BlockMask band(std::int64_t tokens) {
  MaskDescription d;
  d.queries = d.keys = tokens;
  d.spans_per_row = 1;
  for (int i = 0; i < tokens; ++i)
    d.spans.push_back(i % 11 == 5 ? TokenSpan{0, 0} : TokenSpan{std::max(i - 20, 0), std::min<int>(i + 31, static_cast<int>(tokens))});
  return BlockMask(d);
}
at::Tensor kept_pairs(const BlockMask& mask, std::int64_t tokens) {  // (T,T) bool
  at::Tensor keep = at::zeros({tokens, tokens}, at::kBool);
  auto at = keep.accessor<bool, 2>();
  for (int i = 0; i < tokens; ++i)
    for (int j = 0; j < tokens; ++j) at[i][j] = mask.keeps(0, i, j);
  return keep;
}
/// Of exact_attention, with 0 where a row keeps nothing.
std::pair<at::Tensor, at::Tensor> exact(const LayerCall& call, const BlockMask& mask) {
  auto [out, sums] = test::exact_attention(call, kept_pairs(mask, call.q.size(2)));
  return {at::nan_to_num(out, 0.0), sums};
}

TEST_P(CudaBridge, AttendsUnderAMaskWithRowScaleAndResidual) {
  for (const std::int64_t width : {20, 72}) {
    if (GetParam().type == at::kFloat && width > 64) continue;
    const LayerCall call = make(width);
    const std::int64_t tokens = call.q.size(2);
    const BlockMask mask = band(tokens);
    const auto [expected, sums] = exact(call, mask);
    const at::Tensor row_scale = at::rand({2, tokens}), residual = at::randn({2, tokens, width});
    for (std::int64_t b = 0; b < 2; ++b) {
      at::Tensor out = output_like(call.q), lse = at::full({2, tokens}, 777.0f);
      cuda_masked_attention(call, b, mask, row_scale, residual, out, lse);
      EXPECT_LT(distance(out[b], expected[b] * row_scale.unsqueeze(-1) + residual), GetParam().out) << width;
      EXPECT_TRUE(at::equal(lse == kNothing, sums[b] == kNothing));
      EXPECT_LT(at::nan_to_num(lse - sums[b], 0.0).abs().max().item<double>(), 1e-3);  // -inf less itself
    }
  }
}

TEST_P(CudaBridge, SplitsFullAttention) {
  const LayerCall call = make(20);
  const std::int64_t tokens = call.q.size(2);
  const BlockMask mask = band(tokens), rest = mask.complement();
  const auto [full, full_sums] = test::exact_attention(call);
  const auto [kept, kept_sums] = exact(call, mask);
  for (const bool unit_rho : {false, true}) {
    at::Tensor out = output_like(call.q);
    const SplitResult split = cuda_split_attention(call, 1, mask, rest, unit_rho, true, out);
    EXPECT_LT(distance(out[1], full[1]), GetParam().out);
    EXPECT_LT((split.log_sum_exp - full_sums[1]).abs().max().item<double>(), 1e-3);
    const at::Tensor rho = unit_rho ? at::ones_like(full_sums[1]) : at::exp(kept_sums[1] - full_sums[1]);
    EXPECT_LT(distance(split.residual, full[1] - rho.unsqueeze(-1) * kept[1]), 2 * GetParam().out);
    EXPECT_EQ(split.residual.size(2), 20);
  }
}

TEST_P(CudaBridge, SearchesForBlocks) {
  for (const std::int64_t width : {20, 72}) {
    if (GetParam().type == at::kFloat && width > 64) continue;
    LayerCall one = make(width);
    one.q = one.q.narrow(0, 1, 1);
    one.k = one.k.narrow(0, 1, 1);
    one.v = one.v.narrow(0, 1, 1);
    const auto [out, sums] = test::exact_attention(one);
    const at::Tensor weights = at::softmax(at::matmul(one.q[0].to(at::kDouble), one.k[0].to(at::kDouble).transpose(1, 2)) * one.scale, -1);
    at::Tensor mass = at::zeros({2, 3, 3}, at::kDouble);
    for (int m = 0; m < 3; ++m)
      for (int n = 0; n < 3; ++n)
        mass.select(1, m).select(1, n).copy_(
            weights.slice(1, 64 * m, 64 * m + 64).slice(2, 64 * n, 64 * n + 64).sum(at::IntArrayRef{1, 2}));
    const BlockSearch search = cuda_block_search(one);
    EXPECT_LT(distance(search.out, out[0]), GetParam().out);
    EXPECT_EQ(search.out.sizes(), one.q[0].sizes());
    EXPECT_LT(test::max_difference(search.log_sum_exp, sums[0]), 1e-3);
    EXPECT_LT(distance(search.mass, mass), 1e-4);
    // With the log-sum-exp of this step, the mass alone says the same.
    EXPECT_LT(distance(cuda_block_mass(one, search.log_sum_exp), mass), 1e-3);
    EXPECT_LT(distance(cuda_block_mass(one, search.log_sum_exp + 1), mass * std::exp(-1)), 1e-3);
  }
}

TEST_P(CudaBridge, FormsLogitsInInt8) {
  if (GetParam().type == at::kFloat) GTEST_SKIP() << "16-bit types alone";
  for (const std::int64_t width : {20, 72}) {
    LayerCall call = make(width);
    call.k = call.k.add(3);  // what smoothing takes away
    const BlockMask mask = band(call.q.size(2));
    const auto [expected, sums] = exact(call, mask);
    const auto error = [&](QkPrecision qk) {
      call.qk = qk;
      at::Tensor out = output_like(call.q);
      cuda_masked_attention(call, 0, mask, {}, {}, out, {});
      return distance(out[0], expected[0]);
    };
    const double floats = error(QkPrecision::Float), blocks = error(QkPrecision::Int8), tokens = error(QkPrecision::Int8PerToken),
                 unsmoothed = error(QkPrecision::Int8Unsmoothed);
    EXPECT_LT(floats, GetParam().out);
    EXPECT_LT(blocks, 0.03);
    EXPECT_GT(blocks, 1.2 * floats) << "the logits are rounded at all";
    EXPECT_LT(tokens, blocks);
    EXPECT_GT(unsmoothed, 1.2 * blocks);
  }
}

INSTANTIATE_TEST_SUITE_P(Types, CudaBridge,
                         ::testing::Values(TypeCase{at::kFloat, 1e-5}, TypeCase{at::kBFloat16, 8e-3}, TypeCase{at::kHalf, 1.5e-3}),
                         [](const auto& info) { return std::string(at::toString(info.param.type)); });

TEST(MassOfWiderBlocks, AddsUpBlocksOf64) {
  const at::Tensor mass = at::arange(2 * 3 * 5, at::kFloat).view({2, 3, 5});
  EXPECT_TRUE(at::equal(mass_of_wider_blocks(mass, 64), mass));
  const at::Tensor wide = mass_of_wider_blocks(mass, 128);
  ASSERT_EQ(wide.sizes(), (std::vector<std::int64_t>{2, 2, 3}));
  for (int h = 0; h < 2; ++h)
    for (int m = 0; m < 2; ++m)
      for (int n = 0; n < 3; ++n)
        EXPECT_EQ(wide[h][m][n].item<float>(),
                  mass[h].slice(0, 2 * m, 2 * m + 2).slice(1, 2 * n, 2 * n + 2).sum().item<float>());
}

TEST(CudaKernels, TakeNothingThatIsNotOnAGpu) {
  const LayerCall call = test::make_call(test::small_video(), 0, 1);
  EXPECT_FALSE(cuda_kernels_take(call));
  EXPECT_FALSE(cuda_int8_takes(call));
}

}  // namespace
}  // namespace ditscope
