// The source of the int8 kernels for GPUs, executed on the CPU: quantisation against float64, attention against the float64
// oracle over the very numbers that the bytes stand for.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "kernels/cuda/int8_launch.h"
#include "kernels/cuda/tile_attention.h"
#include "kernels/error.h"
#include "kernels/reference/int8.h"
#include "tests/kernels/cuda_case.h"
#include "tests/kernels/random_mask.h"

namespace ditscope {
namespace {

using cuda::Int8Launch;
using test::CudaCase;
using test::Int8Scratch;
using test::placed;
using test::Tolerance;

template <class Kernel>
void run_tasks(const cuda::QuantiseParameters& p, bool backwards) {
  gpu::Machine::run(2, cuda::kQuantiseThreads, sizeof(float) * cuda::kQuantiseThreads, backwards,
                    [&](unsigned char* shared) { Kernel(p, shared).run(); });
}

template <typename Element, int kWidth, int kTileBlocks>
void attend(const cuda::Parameters& p, bool backwards) {
  using Shape = cuda::TileShape<kWidth, kTileBlocks, true>;
  gpu::Machine::run(std::min(2, p.item_count), Shape::kThreads, Shape::kSharedBytes, backwards,
                    [&](unsigned char* shared) { cuda::TileAttention<Element, Shape, false>(p, shared).run(); });
}

}  // namespace

template <typename Element>
void test::run_emulated_int8(const Int8Launch& launch, int tile_blocks, bool backwards) {
  if (launch.smooth) {
    run_tasks<cuda::KeySums<Element>>(launch.keys, backwards);
    run_tasks<cuda::KeyMean>(launch.keys, backwards);
  }
  run_tasks<cuda::Quantise<Element>>(launch.keys, backwards);
  run_tasks<cuda::Quantise<Element>>(launch.queries, backwards);
  const cuda::Parameters& p = launch.attention;
  if (cuda::int8_kernel_width(p.width) == 64)
    tile_blocks == 2 ? attend<Element, 64, 2>(p, backwards) : attend<Element, 64, 1>(p, backwards);
  else
    tile_blocks == 2 ? attend<Element, 128, 2>(p, backwards) : attend<Element, 128, 1>(p, backwards);
}

template void test::run_emulated_int8<Bfloat16Bits>(const Int8Launch&, int, bool);
template void test::run_emulated_int8<Float16Bits>(const Int8Launch&, int, bool);

namespace {

/// What the bytes of a call stand for. @return (H,T,D)
std::vector<double> numbers(const cuda::QuantiseParameters& p) {
  std::vector<std::int8_t> values;
  for (int row = 0; row < p.heads * p.tokens; ++row)
    for (int c = 0; c < p.width; ++c) values.push_back(p.values[row * p.row_bytes + c]);
  const int groups = (p.tokens + p.group_tokens - 1) / p.group_tokens;
  return reference::dequantise(values, {p.scales, p.scales + p.heads * groups}, p.heads, p.tokens, p.width, p.group_tokens);
}

template <typename Element>
class CudaInt8 : public ::testing::Test {};
using Elements = ::testing::Types<Bfloat16Bits, Float16Bits>;
TYPED_TEST_SUITE(CudaInt8, Elements);

TYPED_TEST(CudaInt8, AgreesWithTheOracleOverWhatTheBytesStandFor) {
  std::mt19937 random(51);
  const int widths[] = {64, 72, 128, 8, 40, 88, 104};
  for (int round = 0; round < 10; ++round) {
    const int heads = 1 + round % 2, width = widths[round % 7], tile_blocks = 1 + round / 2 % 2;
    const int queries = round == 7 ? 1 : 1 + static_cast<int>(random() % 190),
              keys = round == 8 ? 1 : 1 + static_cast<int>(random() % 300);
    CudaCase<TypeParam> c(heads, queries, keys, width, random(), true, round % 4 == 1 ? 11 : 0);
    if (round % 5 == 3) c.scale = -c.scale;
    Int8Options options;
    options.query_group_tokens = round % 3 == 1 ? 1 : round % 3 == 2 ? 64 : 128;
    options.key_group_tokens = round % 4 == 2 ? 1 : round % 4 == 3 ? 16 : 64;
    options.smooth_keys = round % 2 == 0;
    const BlockMask mask = round % 3 == 0 ? BlockMask::dense(queries, keys) : test::random_mask(random, heads, queries, keys);
    PlanOptions plan_options;
    plan_options.tile_blocks = tile_blocks;
    if (round == 9) plan_options.most_entries = 2;
    AttentionPlan plan = make_attention_plan(mask, heads, plan_options);
    std::vector<float> parts(static_cast<std::size_t>(cuda_int8_part_floats(plan.layout, width)), NAN);
    Int8Scratch scratch(plan, width, options);
    auto arguments = c.arguments();
    arguments.parts = parts.empty() ? nullptr : parts.data();
    const Int8Launch launch = cuda::int8_launch(arguments, options, placed(plan), scratch.place());
    test::run_emulated_int8<TypeParam>(launch, tile_blocks, round % 2 == 1);
    EXPECT_TRUE(scratch.whole()) << "what lies behind the scratch memory";

    const std::string what = "round " + std::to_string(round) + " width " + std::to_string(width);
    const std::vector<double> k = c.k.doubles();
    std::vector<double> mean(static_cast<std::size_t>(heads * width), 0.0);
    for (std::size_t n = 0; options.smooth_keys && n < k.size(); ++n)
      mean[n / static_cast<std::size_t>(keys * width) * static_cast<std::size_t>(width) + n % static_cast<std::size_t>(width)] +=
          k[n] / keys;
    const std::vector<double> exact_keys = reference::scaled_for_int8(k, mean, heads, keys, width, launch.keys.group_tokens);
    const std::vector<double> exact_queries = reference::scaled_for_int8(c.q.doubles(), std::vector<double>(mean.size(), 0.0),
                                                                         heads, queries, width, launch.queries.group_tokens);
    const auto expect_rounded = [&](const cuda::QuantiseParameters& p, const std::vector<double>& exact) {
      for (std::size_t n = 0; n < exact.size(); ++n) {
        const std::size_t row = n / static_cast<std::size_t>(width);
        const double value = p.values[row * static_cast<std::size_t>(p.row_bytes) + n % static_cast<std::size_t>(width)];
        ASSERT_NEAR(value, exact[n], 0.501) << what;
      }
    };
    expect_rounded(launch.keys, exact_keys);
    expect_rounded(launch.queries, exact_queries);

    const reference::AttentionResult expected =
        reference::attention(numbers(launch.queries), numbers(launch.keys), c.v.doubles(), heads, queries, keys, width, c.scale,
                             [&](int h, int i, int j) { return mask.keeps(h, i, j); });
    EXPECT_LT(test::relative_error(c.out.doubles(), expected.out), Tolerance<TypeParam>::kOut) << what;
    const std::vector<double> q = c.q.doubles();
    for (std::size_t row = 0; row < expected.log_sum_exp.size(); ++row) {
      double shift = 0;
      const std::size_t head = row / static_cast<std::size_t>(queries);
      for (int x = 0; x < width; ++x)
        shift += c.scale * q[row * static_cast<std::size_t>(width) + x] * mean[head * static_cast<std::size_t>(width) + x];
      if (std::isinf(expected.log_sum_exp[row])) {
        ASSERT_EQ(c.log_sum_exp[row], -std::numeric_limits<float>::infinity()) << what;
      } else {
        ASSERT_NEAR(c.log_sum_exp[row], expected.log_sum_exp[row] + shift, 2e-3) << what;
      }
    }
  }
}

TYPED_TEST(CudaInt8, IsNearAttentionOfTheUnroundedTokens) {
  CudaCase<TypeParam> c(2, 150, 200, 64, 3);
  AttentionPlan plan = make_attention_plan(BlockMask::dense(150, 200), 2, {2, 0});
  Int8Scratch scratch(plan, 64, {});
  test::run_emulated_int8<TypeParam>(cuda::int8_launch(c.arguments(), {}, placed(plan), scratch.place()), 2, false);
  EXPECT_LT(test::relative_error(c.out.doubles(), c.expected([](int, int, int) { return true; }).out), 0.03);
}

TEST(CudaInt8, SaysWhatItExpected) {
  const auto refusal = [](int width, const Int8Options& options, bool aligned) -> std::string {
    CudaCase<Bfloat16Bits> c(1, 70, 70, width, 1);
    AttentionPlan plan = make_attention_plan(BlockMask::dense(70, 70), 1);
    alignas(16) unsigned char scratch[32];
    try {
      cuda::int8_launch(c.arguments(), options, placed(plan), scratch + (aligned ? 0 : 8));
    } catch (const Error& error) {
      return error.what();
    }
    return "";
  };
  EXPECT_EQ(refusal(64, {}, true), "");
  EXPECT_NE(refusal(136, {}, true).find("1 to 128 for int8"), std::string::npos);
  EXPECT_NE(refusal(64, {100, 64, true}, true).find("power of two of tokens, got 100"), std::string::npos);
  EXPECT_NE(refusal(64, {}, false).find("multiple of 16 bytes"), std::string::npos);
}

}  // namespace
}  // namespace ditscope
