#include "kernels/int8_attention.h"

#include <gtest/gtest.h>

#include "kernels/error.h"
#include "kernels/pooling.h"
#include "kernels/reference/int8.h"
#include "tests/kernels/attention_case.h"

namespace ditscope {
namespace {

using test::AttentionCase;

/// A tensor in int8 with what is needed to read it.
struct Quantised {
  std::vector<std::int8_t> values;
  std::vector<float> scales, mean;
  int heads, tokens, width, group;

  template <typename Element>
  Quantised(const test::Array<Element>& x, int group_tokens, bool smooth)
      : heads(static_cast<int>(x.shape[0])),
        tokens(static_cast<int>(x.shape[1])),
        width(static_cast<int>(x.shape[2])),
        group(group_tokens) {
    const std::int64_t groups = (tokens + group - 1) / group;
    mean.assign(static_cast<std::size_t>(heads * width), 0.0f);
    if (smooth) {
      const std::int64_t ends[] = {0, tokens};
      pool_blocks<Element>({x.const_view(), {ends, {2}, {1}}, {mean.data(), {heads, 1, width}, {width, width, 1}}, {}, {}});
    }
    values.assign(static_cast<std::size_t>(heads * tokens * width), 99);
    scales.assign(static_cast<std::size_t>(heads * groups), 777.0f);
    quantise_tokens<Element>({x.const_view(),
                              {mean.data(), {heads, width}, {width, 1}},
                              group,
                              {values.data(), {heads, tokens, width}, {tokens * width, width, 1}},
                              {scales.data(), {heads, groups}, {groups, 1}}});
  }
  std::vector<double> numbers() const { return reference::dequantise(values, scales, heads, tokens, width, group); }
};

/// Window, dense rows and empty rows.
BlockMask some_mask(int queries, int keys) {
  MaskDescription d;
  d.queries = queries;
  d.keys = keys;
  d.spans_per_row = 1;
  for (int i = 0; i < queries; ++i)
    d.spans.push_back(i % 13 == 4  ? TokenSpan{0, keys}
                      : i % 9 == 2 ? TokenSpan{0, 0}
                                   : TokenSpan{std::clamp(i - 40, 0, keys), std::clamp(i + 33, 0, keys)});
  return BlockMask(d);
}

class Int8Attention : public ::testing::TestWithParam<std::string> {
 protected:
  test::ScopedVariable choice_{"DITSCOPE_ISA", GetParam()};

  /// The kernel meets float64 attention over the very numbers that the int8 values stand for.
  template <typename Element>
  void check(int heads, int queries, int keys, int width, bool masked, const Int8Options& options, int round) {
    AttentionCase<Element> c(heads, queries, keys, width, static_cast<std::uint32_t>(round), round % 2 == 1,
                             round % 3 == 2 ? 2 : 1, round % 4 == 1 ? 11 : 0);
    if (round % 5 == 3) c.scale = -c.scale;
    const BlockMask mask = some_mask(queries, keys);
    const auto keeps = [&](int h, int i, int j) { return !masked || mask.keeps(h, i, j); };
    const Quantised q(c.q, static_cast<int>(options.query_group_tokens), false),
        k(c.k, static_cast<int>(options.key_group_tokens), options.smooth_keys);
    const reference::AttentionResult expected =
        reference::attention(q.numbers(), k.numbers(), c.v.doubles(), heads, queries, keys, width, c.scale, keeps);
    int8_attention(c.arguments(masked ? &mask : nullptr), options);
    const bool exact = std::is_same_v<Element, float>;
    EXPECT_LT(test::relative_error(c.out.doubles(), expected.out), exact ? 3e-6 : 8e-3) << "round " << round;
    for (int h = 0; h < heads; ++h)
      for (int i = 0; i < queries; ++i) {
        const std::size_t row = static_cast<std::size_t>(h) * queries + i;
        double shift = 0;
        for (int x = 0; x < width; ++x)
          shift += test::to_float(c.q.at(h, i, x)) * double{k.mean[static_cast<std::size_t>(h * width + x)]};
        if (std::isinf(expected.log_sum_exp[row])) {
          ASSERT_EQ(c.log_sum_exp[row], -std::numeric_limits<float>::infinity());
        } else {
          const double lse = expected.log_sum_exp[row] + c.scale * shift;
          ASSERT_NEAR(c.log_sum_exp[row], lse, (exact ? 2e-5 : 1e-3) * (1 + std::abs(lse))) << "round " << round << " row " << i;
        }
      }
  }
};

TEST_P(Int8Attention, IsExactForTheNumbersThatItsInt8ValuesStandFor) {
  const int widths[] = {8, 32, 64, 72, 88, 128, 256, 1, 7};
  const std::int64_t groups[] = {1, 64, 128, 16, 5};
  for (int round = 0; round < 18; ++round) {
    const int queries = round % 7 == 0 ? 1 : 40 + 17 * (round % 8), keys = round % 5 == 4 ? 1 : 30 + 23 * (round % 9);
    const Int8Options options{groups[round % 5], groups[(round + 2) % 5], round % 2 == 0};
    check<float>(1 + round % 3, queries, keys, widths[round % 9], round % 3 == 0, options, round);
    check<Bfloat16Bits>(1 + round % 3, queries, keys, widths[round % 9], round % 3 == 1, options, round);
  }
}

TEST_P(Int8Attention, StaysNearAttentionWithoutQuantisation) {
  for (const int width : {32, 64, 72, 128}) {
    AttentionCase<float> c(2, 190, 260, width, 3);
    const std::vector<double> expected = c.expected([](int, int, int) { return true; }).out;
    int8_attention(c.arguments(nullptr), {});
    EXPECT_LT(test::relative_error(c.out.doubles(), expected), 0.02) << width;
    int8_attention(c.arguments(nullptr), {1, 1, true});
    EXPECT_LT(test::relative_error(c.out.doubles(), expected), 0.012) << width << ", a scale a token";
  }
}

TEST_P(Int8Attention, NeedsSmoothKeysWhereAllKeysShareAnOutlier) {
  AttentionCase<float> c(1, 128, 256, 64, 4);
  for (int j = 0; j < 256; ++j)
    for (const int channel : {3, 40}) c.k.at(0, j, channel) += channel == 3 ? 60.0f : -45.0f;
  const auto full = c.expected([](int, int, int) { return true; });
  int8_attention(c.arguments(nullptr), {128, 64, true});
  const double smooth = test::relative_error(c.out.doubles(), full.out);
  for (std::size_t i = 0; i < full.log_sum_exp.size(); ++i) EXPECT_NEAR(c.log_sum_exp[i], full.log_sum_exp[i], 0.05);
  int8_attention(c.arguments(nullptr), {128, 64, false});
  const double rough = test::relative_error(c.out.doubles(), full.out);
  EXPECT_LT(smooth, 0.02);
  EXPECT_GT(rough, 5 * smooth);
}

TEST_P(Int8Attention, LeavesOutBlocksThatCannotMatter) {
  const int keys = 640;
  AttentionCase<float> c(2, 190, keys, 32, 6);
  for (int i = 0; i < 190; ++i)  // the first block holds what every query looks for
    for (int x = 0; x < 32; ++x)
      for (int h = 0; h < 2; ++h) {
        c.q.at(h, i, x) = std::abs(c.q.at(h, i, x));
        if (i < 64) c.k.at(h, i, x) = 3.0f;
      }
  int8_attention(c.arguments(nullptr), {128, 64, true});
  const std::vector<double> all = c.out.doubles();
  const auto difference = [&](float head0, float head1) {
    const float within[] = {head0, head1};
    Int8Options options{128, 64, true};
    options.pv_skip = {within, {2}, {1}};
    int8_attention(c.arguments(nullptr), options);
    return test::relative_error(c.out.doubles(), all);
  };
  EXPECT_EQ(difference(60, 60), 0) << "nothing is so small";
  EXPECT_EQ(difference(0, 0), 0) << "0 is off";
  const double some = difference(8, 8);
  EXPECT_GT(some, 0);
  // A block left out holds at most 64 terms, each below 2^-8 of the row's largest: with 9 such blocks the row moves by less than
  EXPECT_LT(some, 2 * 9 * 64 * std::pow(2.0, -8));
  const double one = difference(8, 0);
  EXPECT_GT(one, 0);
  EXPECT_LT(one, some) << "a threshold of its own for each head";
  const auto left_out = [&](float head0, float head1) {
    const float within[] = {head0, head1};
    std::vector<std::int64_t> pairs{0, 0};
    Int8Options options{128, 64, true};
    options.pv_skip = {within, {2}, {1}};
    options.left_out_pairs = {pairs.data(), {2}, {1}};
    int8_attention(c.arguments(nullptr), options);
    return pairs;
  };
  EXPECT_EQ(left_out(60, 60), (std::vector<std::int64_t>{0, 0}));
  const std::vector<std::int64_t> pairs = left_out(8, 0);
  EXPECT_EQ(pairs[1], 0);
  EXPECT_GT(pairs[0], 0);
  EXPECT_LE(pairs[0], 190 * 9 * 64) << "the first block counts in every row";
  EXPECT_EQ(pairs[0] % 64, 0) << "whole blocks of keys";
}

TEST_P(Int8Attention, ScalesRowsAndBlocksAndAddsVectorAndResidual) {
  AttentionCase<float> c(2, 130, 130, 40, 5);
  const BlockMask mask = some_mask(130, 130);
  int8_attention(c.arguments(&mask), {});
  const std::vector<double> plain = c.out.doubles();
  test::Array<float> residual(2, 130, 40);
  std::mt19937 random(6);
  residual.fill_normal(random, 1);
  std::vector<float> row_scale(2 * 130);
  for (float& value : row_scale) value = std::uniform_real_distribution<float>(0, 2)(random);
  AttentionArguments<float> a = c.arguments(&mask);
  a.row_scale = {row_scale.data(), {2, 130}, {130, 1}};
  a.residual = residual.const_view();
  const std::vector<float> block_scale = {0.5f, 1, 2, 3, 1, 0.25f};
  test::Array<float> block_vector(2, 3, 40, true, 2);
  block_vector.fill_normal(random, 1);
  a.block_scale = {block_scale.data(), {2, 3}, {3, 1}};
  a.block_vector = block_vector.const_view();
  int8_attention(a, {});
  std::size_t n = 0;
  for (int h = 0; h < 2; ++h)
    for (int i = 0; i < 130; ++i)
      for (int x = 0; x < 40; ++x, ++n) {
        const double factor =
            double{row_scale[static_cast<std::size_t>(h * 130 + i)]} * block_scale[static_cast<std::size_t>(h * 3 + i / 64)];
        ASSERT_NEAR(c.out.at(h, i, x), factor * plain[n] + block_vector.at(h, i / 64, x) + residual.at(h, i, x), 1e-5);
      }
}

TEST_P(Int8Attention, GivesTheSameBitsForEveryNumberOfThreads) {
  AttentionCase<float> one(3, 190, 190, 72, 4), four = one;
  const BlockMask mask = some_mask(190, 190);
  int8_attention(one.arguments(&mask), {});
  int8_attention(four.arguments(&mask), {}, test::threads(4));
  EXPECT_EQ(one.out.storage, four.out.storage);
  EXPECT_EQ(one.log_sum_exp, four.log_sum_exp);
}

INSTANTIATE_TEST_SUITE_P(Machine, Int8Attention, ::testing::ValuesIn(available_instruction_sets()),
                         [](const auto& info) { return info.param; });

template <typename Element>
void check_quantisation(int heads, int tokens, int width, int group, bool smooth) {
  std::mt19937 random(7);
  test::Array<Element> x(heads, tokens, width, true, 2);
  x.fill_normal(random, 2, 13);
  for (int t = 0; t < std::min(tokens, group); ++t)
    for (int c = 0; c < width && !smooth; ++c) x.at(0, t, c) = 0;  // a group of zeros
  const Quantised quantised(x, group, smooth);
  const std::vector<double> expected =
      reference::scaled_for_int8(x.doubles(), {quantised.mean.begin(), quantised.mean.end()}, heads, tokens, width, group);
  for (std::size_t i = 0; i < expected.size(); ++i) ASSERT_LE(std::abs(quantised.values[i] - expected[i]), 0.5 + 1e-4) << i;
  if (!smooth) {
    EXPECT_EQ(quantised.scales[0], 0.0f);
  }
}

TEST(Int8Quantisation, RoundsToTheNearestOf255Steps) {
  check_quantisation<float>(2, 130, 72, 64, true);
  check_quantisation<float>(1, 1, 1, 1, false);
  check_quantisation<float>(2, 50, 8, 1, false);
  check_quantisation<Bfloat16Bits>(3, 130, 256, 128, true);
  check_quantisation<Bfloat16Bits>(1, 99, 31, 7, false);
}

TEST(Int8Quantisation, SaysWhatItExpected) {
  AttentionCase<float> c(1, 10, 12, 16, 1);
  const auto refusal = [&](const std::function<void(AttentionArguments<float>&, Int8Options&)>& spoil) -> std::string {
    AttentionArguments<float> a = c.arguments(nullptr);
    Int8Options options;
    spoil(a, options);
    try {
      int8_attention(a, options);
    } catch (const Error& error) {
      return error.what();
    }
    return "";
  };
  EXPECT_NE(refusal([](auto&, auto& options) { options.key_group_tokens = 0; }).find("groups of 1 or more"), std::string::npos);
  EXPECT_NE(refusal([](auto& a, auto&) { a.v.shape[1] = 11; }).find("expected v of (1,12,16), got (1,11,16)"), std::string::npos);
}

}  // namespace
}  // namespace ditscope
