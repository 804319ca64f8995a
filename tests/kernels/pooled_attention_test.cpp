#include "kernels/pooled_attention.h"

#include <gtest/gtest.h>

#include "kernels/error.h"
#include "kernels/reference/pooling.h"
#include "tests/kernels/attention_case.h"

namespace ditscope {
namespace {

class PooledAttention : public ::testing::TestWithParam<std::string> {
 protected:
  test::ScopedVariable choice_{"DITSCOPE_ISA", GetParam()};

  template <typename Element>
  void check(int heads, int rows, int blocks, int extra, int width, int round) {
    std::mt19937 random(static_cast<std::uint32_t>(round));
    test::Array<float> queries(heads, rows, width, round % 2 == 1), keys(heads, blocks, width);
    test::Array<Element> text(heads, extra, width, round % 2 == 0, 1 + round % 2);
    queries.fill_normal(random, 1);
    keys.fill_normal(random, 1);
    text.fill_normal(random, 1);
    const bool weighted = round % 3 != 0, shared = round % 3 == 1;
    std::vector<float> weights(static_cast<std::size_t>(heads * blocks), 1.0f);
    for (std::size_t i = 0; i < weights.size() && weighted; ++i)
      weights[i] = static_cast<float>((shared ? i % static_cast<std::size_t>(blocks) : i) * 7 % 65);  // 0 among them
    std::vector<float> shares(static_cast<std::size_t>(heads * rows * blocks), 777.0f),
        extra_share(static_cast<std::size_t>(heads * rows), 777.0f);
    PooledAttentionArguments<Element> a;
    a.queries = queries.const_view();
    a.keys = keys.const_view();
    if (weighted) a.weights = {weights.data(), {heads, blocks}, {shared ? 0 : blocks, 1}};
    if (extra > 0) a.extra_keys = text.const_view();
    a.scale = round % 4 == 3 ? -0.3f : 0.3f;
    a.shares = {shares.data(), {heads, rows, blocks}, {rows * blocks, blocks, 1}};
    a.extra_share = {extra_share.data(), {heads, rows}, {rows, 1}};
    pooled_attention(a, test::threads(1 + round % 3));
    const reference::PooledShares expected =
        reference::pooled_attention(queries.doubles(), keys.doubles(), {weights.begin(), weights.end()}, text.doubles(), heads,
                                    rows, blocks, extra, width, a.scale);
    for (std::size_t i = 0; i < shares.size(); ++i) ASSERT_NEAR(shares[i], expected.shares[i], 1e-5) << "round " << round;
    for (std::size_t i = 0; i < extra_share.size(); ++i)
      ASSERT_NEAR(extra_share[i], expected.extra_share[i], 1e-5) << "round " << round;
  }
};

TEST_P(PooledAttention, WithUnpooledTextAgreesWithTheOracle) {
  const int widths[] = {8, 32, 64, 72, 88, 128, 256, 1};
  for (int round = 0; round < 16; ++round) {
    const int rows = 1 + 23 * (round % 5), blocks = 1 + 31 * (round % 6), extra = round % 4 == 2 ? 0 : 1 + 29 * (round % 7);
    check<float>(1 + round % 3, rows, blocks, extra, widths[round % 8], round);
    check<Bfloat16Bits>(1 + round % 3, rows, blocks, extra, widths[round % 8], round);
  }
}

TEST_P(PooledAttention, IsIsolatedPoolingWhereEveryTokenOfABlockIsTheSame) {
  // Rectified SpaAttn's premise: pooled keys that equal their tokens make pooled attention exact attention.
  const int blocks = 5, block_tokens = 16, text = 7, width = 24, tokens = blocks * block_tokens + text;
  test::AttentionCase<float> c(1, tokens, tokens, width, 3);
  test::Array<float> pooled(1, blocks, width);
  for (int t = 0; t < blocks * block_tokens; ++t)
    for (int x = 0; x < width; ++x) {
      c.k.at(0, t, x) = c.k.at(0, t / block_tokens * block_tokens, x);
      c.q.at(0, t, x) = c.q.at(0, t / block_tokens * block_tokens, x);
      pooled.at(0, t / block_tokens, x) = c.k.at(0, t, x);
    }
  std::vector<float> weights(blocks, block_tokens), shares(blocks * blocks), extra_share(blocks);
  PooledAttentionArguments<float> a;
  a.queries = {c.q.storage.data(), {1, blocks, width}, {0, c.q.stride[1] * block_tokens, 1}};
  a.keys = pooled.const_view();
  a.weights = {weights.data(), {1, blocks}, {0, 1}};
  a.extra_keys = {&c.k.at(0, blocks * block_tokens, 0), {1, text, width}, {0, c.k.stride[1], 1}};
  a.scale = c.scale;
  a.shares = {shares.data(), {1, blocks, blocks}, {blocks * blocks, blocks, 1}};
  a.extra_share = {extra_share.data(), {1, blocks}, {blocks, 1}};
  pooled_attention(a);
  const auto only_text = [&](int, int, int j) { return j >= blocks * block_tokens; };
  const std::vector<double> of_text = c.expected(only_text).log_sum_exp,
                            of_all = c.expected([](int, int, int) { return true; }).log_sum_exp;
  for (int i = 0; i < blocks; ++i)
    EXPECT_NEAR(extra_share[i], std::exp(of_text[i * block_tokens] - of_all[i * block_tokens]), 1e-5);
}

TEST_P(PooledAttention, GainComparesThePooledLogitWithWhatPoolingLoses) {
  for (const int width : {1, 8, 72, 128}) {
    const int heads = 2, rows = 70, blocks = 131;
    std::mt19937 random(5);
    test::Array<float> q(heads, rows, width), dq(heads, rows, width), k(heads, blocks, width), dk(heads, blocks, width);
    for (auto* array : {&q, &dq, &k, &dk}) array->fill_normal(random, array == &q || array == &k ? 1.0f : 0.6f);
    const BlockSelection gain = pooling_gain(q.const_view(), dq.const_view(), k.const_view(), dk.const_view(), test::threads(2));
    int kept = 0;
    for (int h = 0; h < heads; ++h)
      for (int i = 0; i < rows; ++i)
        for (int j = 0; j < blocks; ++j) {
          double u = 0, a = 0, b = 0;
          for (int c = 0; c < width; ++c) {
            u += double{q.at(h, i, c)} * k.at(h, j, c);
            a += double{dq.at(h, i, c)} * k.at(h, j, c);
            b += double{q.at(h, i, c)} * dk.at(h, j, c);
          }
          const double lead = std::fabs(u) - std::fabs(a) - std::fabs(b);
          if (std::fabs(lead) > 1e-4) {
            ASSERT_EQ(gain.keeps(h, i, j), lead > 0);
          }
          kept += gain.keeps(h, i, j);
        }
    EXPECT_GT(kept, 0);
    EXPECT_LT(kept, heads * rows * blocks);
  }
}

TEST_P(PooledAttention, RestAndKeptShareAddUpToPooledAttention) {
  for (const int width : {1, 16, 72, 256}) {
    const int heads = 2, rows = 67, blocks = 90;
    std::mt19937 random(6);
    test::Array<float> shares(heads, rows, blocks, false, 2), values(heads, blocks, width, true), rest(heads, rows, width);
    shares.fill_normal(random, 1);
    values.fill_normal(random, 1);
    std::vector<float> extra(heads * rows, 0.25f), kept_share(heads * rows);
    BlockSelection kept(heads, rows, blocks);
    for (int h = 0; h < heads; ++h)
      for (int i = 0; i < rows; ++i)
        for (int j = 0; j < blocks; ++j) {
          if (random() % 3 == 0) kept.keep(h, i, j);
        }
    PooledRestArguments a;
    a.shares = shares.const_view();
    a.extra_share = {extra.data(), {heads, rows}, {rows, 1}};
    a.values = values.const_view();
    a.kept = &kept;
    a.rest = rest.view();
    a.kept_share = {kept_share.data(), {heads, rows}, {rows, 1}};
    pooled_rest(a, test::threads(2));
    for (int h = 0; h < heads; ++h)
      for (int i = 0; i < rows; ++i) {
        double share = 0.25;
        for (int j = 0; j < blocks; ++j) share += kept.keeps(h, i, j) ? shares.at(h, i, j) : 0.0;
        ASSERT_NEAR(kept_share[h * rows + i], share, 1e-4);
        for (int c = 0; c < width; ++c) {
          double sum = 0;
          for (int j = 0; j < blocks; ++j) sum += kept.keeps(h, i, j) ? 0.0 : double{shares.at(h, i, j)} * values.at(h, j, c);
          ASSERT_NEAR(rest.at(h, i, c), sum, 1e-4);
        }
      }
  }
}

INSTANTIATE_TEST_SUITE_P(Machine, PooledAttention, ::testing::ValuesIn(available_instruction_sets()),
                         [](const auto& info) { return info.param; });

TEST(PooledAttention, IsZeroWhereEveryBlockIsLeftOut) {
  std::vector<float> q(4, 1.0f), k(8, 1.0f), weights(2, 0.0f), shares(2, 777.0f), extra(1, 777.0f);
  PooledAttentionArguments<float> a;
  a.queries = {q.data(), {1, 1, 4}, {4, 4, 1}};
  a.keys = {k.data(), {1, 2, 4}, {8, 4, 1}};
  a.weights = {weights.data(), {1, 2}, {2, 1}};
  a.shares = {shares.data(), {1, 1, 2}, {2, 2, 1}};
  a.extra_share = {extra.data(), {1, 1}, {1, 1}};
  pooled_attention(a);
  EXPECT_EQ(shares, (std::vector<float>{0, 0}));
  EXPECT_EQ(extra[0], 0);
  a.weights.shape = {1, 3};
  try {
    pooled_attention(a);
    FAIL() << "expected a refusal";
  } catch (const Error& error) {
    EXPECT_NE(std::string(error.what()).find("expected weights of (1,2), got (1,3)"), std::string::npos);
  }
}

}  // namespace
}  // namespace ditscope
