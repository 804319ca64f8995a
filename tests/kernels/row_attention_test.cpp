#include "kernels/row_attention.h"

#include <gtest/gtest.h>

#include "kernels/error.h"
#include "tests/kernels/attention_case.h"

namespace ditscope {
namespace {

using test::AttentionCase;

class RowAttention : public ::testing::TestWithParam<std::string> {
 protected:
  test::ScopedVariable choice_{"DITSCOPE_ISA", GetParam()};
};

/// A window around each query, some rows dense, some empty.
MaskDescription windows(int queries, int keys) {
  MaskDescription d;
  d.queries = queries;
  d.keys = keys;
  d.spans_per_row = 1;
  for (int i = 0; i < queries; ++i)
    d.spans.push_back(i % 11 == 4  ? TokenSpan{0, keys}
                      : i % 9 == 2 ? TokenSpan{0, 0}
                                   : TokenSpan{std::clamp(i - 20, 0, keys), std::clamp(i + 33, 0, keys)});
  return d;
}

template <typename Element>
void check(int heads, int queries, int keys, int width, int row_count, bool masked, int round) {
  std::mt19937 random(static_cast<std::uint32_t>(round));
  AttentionCase<Element> c(heads, queries, keys, width, random(), round % 2 == 1, round % 3 == 2 ? 2 : 1);
  if (round % 4 == 2) c.scale = -c.scale;
  const BlockMask mask(windows(queries, keys));
  std::vector<std::int32_t> rows;
  const bool shared = round % 2 == 0;
  for (int i = 0; i < row_count * (shared ? 1 : heads); ++i) rows.push_back(static_cast<std::int32_t>(random() % queries));
  const auto row_of = [&](int h, int r) { return rows[static_cast<std::size_t>((shared ? 0 : h * row_count) + r)]; };
  const auto keeps = [&](int h, int i, int j) { return !masked || mask.keeps(h, i, j); };
  const reference::AttentionResult full = c.expected(keeps);

  test::Array<Element> out(heads, row_count, width);
  std::vector<float> lse(static_cast<std::size_t>(heads * row_count), 777.0f),
      probabilities(static_cast<std::size_t>(heads * row_count * keys), 777.0f);
  RowAttentionArguments<Element> a;
  a.q = c.q.const_view();
  a.k = c.k.const_view();
  a.v = c.v.const_view();
  a.rows = {rows.data(), {heads, row_count}, {shared ? 0 : row_count, 1}};
  a.scale = c.scale;
  a.mask = masked ? &mask : nullptr;
  a.out = out.view();
  a.log_sum_exp = {lse.data(), {heads, row_count}, {row_count, 1}};
  a.probabilities = {probabilities.data(), {heads, row_count, keys}, {row_count * keys, keys, 1}};
  row_attention(a);

  const double tolerance = std::is_same_v<Element, float> ? 1e-5 : 2e-2;
  const std::vector<double> q = c.q.doubles(), k = c.k.doubles();
  for (int h = 0; h < heads; ++h) {
    for (int r = 0; r < row_count; ++r) {
      const int i = row_of(h, r);
      const double expected_lse = full.log_sum_exp[static_cast<std::size_t>(h) * queries + i];
      const float got = lse[static_cast<std::size_t>(h * row_count + r)];
      if (std::isinf(expected_lse))
        ASSERT_EQ(got, -std::numeric_limits<float>::infinity());
      else
        ASSERT_NEAR(got, expected_lse, tolerance);
      for (int x = 0; x < width; ++x)
        ASSERT_NEAR(test::to_float(out.at(h, r, x)), full.out[(static_cast<std::size_t>(h) * queries + i) * width + x],
                    tolerance);
      for (int j = 0; j < keys; ++j) {
        double dot = 0;
        for (int x = 0; x < width; ++x)
          dot += q[(static_cast<std::size_t>(h) * queries + i) * width + x] *
                 k[(static_cast<std::size_t>(h) * keys + j) * width + x];
        const double p = keeps(h, i, j) ? std::exp(c.scale * dot - expected_lse) : 0.0;
        ASSERT_NEAR(probabilities[static_cast<std::size_t>((h * row_count + r) * keys + j)], p, tolerance) << "row " << i;
      }
    }
  }
}

TEST_P(RowAttention, GivesOutputLogSumExpAndProbabilitiesOfTheListedRows) {
  const int widths[] = {8, 32, 64, 72, 88, 128, 256, 1};
  for (int round = 0; round < 16; ++round) {
    const int queries = round % 5 == 0 ? 1 : 30 + 11 * round, keys = round % 7 == 3 ? 1 : 20 + 13 * round;
    const int rows = round % 6 == 4 ? 0 : 1 + 23 * (round % 5);
    check<float>(1 + round % 3, queries, keys, widths[round % 8], rows, round % 2 == 1, round);
    check<Bfloat16Bits>(1 + round % 3, queries, keys, widths[round % 8], rows, round % 3 == 1, round);
  }
}

TEST_P(RowAttention, GivesTheSameBitsForEveryNumberOfThreads) {
  AttentionCase<float> c(3, 190, 250, 72, 4);
  std::vector<std::int32_t> rows;
  for (int i = 0; i < 100; ++i) rows.push_back(i * 7 % 190);
  std::vector<float> one(3 * 100 * 250), four = one;
  RowAttentionArguments<float> a;
  a.q = c.q.const_view();
  a.k = c.k.const_view();
  a.rows = {rows.data(), {3, 100}, {0, 1}};
  a.probabilities = {one.data(), {3, 100, 250}, {100 * 250, 250, 1}};
  row_attention(a);
  a.probabilities.data = four.data();
  row_attention(a, test::threads(4));
  EXPECT_EQ(one, four);
}

INSTANTIATE_TEST_SUITE_P(Machine, RowAttention, ::testing::ValuesIn(available_instruction_sets()),
                         [](const auto& info) { return info.param; });

TEST(RowAttention, RefusesRowsThatDoNotExist) {
  AttentionCase<float> c(2, 10, 12, 16, 1);
  const std::int32_t rows[] = {3, 10};
  RowAttentionArguments<float> a;
  a.q = c.q.const_view();
  a.k = c.k.const_view();
  a.rows = {rows, {2, 2}, {0, 1}};
  try {
    row_attention(a);
    FAIL() << "expected a refusal";
  } catch (const Error& error) {
    EXPECT_NE(std::string(error.what()).find("expected rows 0..9, got 10"), std::string::npos);
  }
  a.rows.shape = {1, 1};
  EXPECT_THROW(row_attention(a), Error);
}

}  // namespace
}  // namespace ditscope
