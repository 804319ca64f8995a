#include "kernels/block_mass.h"

#include <gtest/gtest.h>

#include "kernels/error.h"
#include "kernels/reference/block_mass.h"
#include "tests/kernels/attention_case.h"

namespace ditscope {
namespace {

using test::AttentionCase;

/// Band, dense rows and empty rows, not aligned to blocks.
BlockMask band(std::mt19937& random, int queries, int keys) {
  MaskDescription d;
  d.queries = queries;
  d.keys = keys;
  d.spans_per_row = 1;
  const int half = 1 + static_cast<int>(random() % 50);
  for (int i = 0; i < queries; ++i)
    d.spans.push_back(i % 17 == 3  ? TokenSpan{0, keys}
                      : i % 7 == 5 ? TokenSpan{0, 0}
                                   : TokenSpan{std::clamp(i - half, 0, keys), std::clamp(i + half, 0, keys)});
  return BlockMask(d);
}

struct Shape {
  int heads, queries, keys, width;
};
const Shape kShapes[] = {{2, 130, 200, 8},  {1, 1, 1, 64},    {3, 70, 64, 72},   {1, 64, 129, 88}, {2, 190, 1, 32},
                         {1, 300, 77, 128}, {1, 65, 65, 256}, {2, 128, 192, 64}, {1, 40, 90, 1}};

template <typename Element>
HostView<float, 3> mass_view(std::vector<float>& storage, const AttentionCase<Element>& c, int block_tokens) {
  const std::int64_t heads = c.q.shape[0], m = (c.q.shape[1] + block_tokens - 1) / block_tokens,
                     n = (c.k.shape[1] + block_tokens - 1) / block_tokens;
  storage.assign(static_cast<std::size_t>(heads * m * n), 777.0f);
  return {storage.data(), {heads, m, n}, {m * n, n, 1}};
}

class BlockMass : public ::testing::TestWithParam<std::string> {
 protected:
  test::ScopedVariable choice_{"DITSCOPE_ISA", GetParam()};

  template <typename Element>
  void check_supplied(const Shape& s, int round) {
    std::mt19937 random(static_cast<std::uint32_t>(round));
    AttentionCase<Element> c(s.heads, s.queries, s.keys, s.width, random(), round % 2 == 1, round % 3 == 2 ? 2 : 1);
    if (round % 4 == 3) c.scale = -c.scale;
    const BlockMask mask = band(random, s.queries, s.keys);
    const BlockMask* used = round % 2 == 0 ? nullptr : &mask;
    const auto keeps = [&](int h, int i, int j) { return used == nullptr || used->keeps(h, i, j); };
    std::vector<double> lse = c.expected([](int, int, int) { return true; }).log_sum_exp;
    for (std::size_t i = 0; i < lse.size(); ++i) {
      lse[i] += i % 3 == 0 ? 0.4 : -0.2;  // of an earlier step
      if (i % 13 == 7) lse[i] = -std::numeric_limits<double>::infinity();
      c.log_sum_exp[i] = static_cast<float>(lse[i]);
    }
    BlockMassArguments<Element> a;
    a.q = c.q.const_view();
    a.k = c.k.const_view();
    a.scale = c.scale;
    a.mask = used;
    a.log_sum_exp = {c.log_sum_exp.data(), {s.heads, s.queries}, {s.queries, 1}};
    a.block_tokens = round % 5 == 1 ? 128 : 64;
    a.row_step = round % 3 == 1 ? 5 : 1;
    a.row_offset = round % 3 == 1 ? 3 : 0;
    std::vector<float> mass;
    a.mass = mass_view(mass, c, static_cast<int>(a.block_tokens));
    block_mass(a);
    const auto weight = [&](int i) {
      const int first = i / 64 * 64, rows = std::min(64, s.queries - first);
      const int offset = std::min<int>(static_cast<int>(a.row_offset), rows - 1), step = static_cast<int>(a.row_step);
      const int sampled = (rows - offset + step - 1) / step;
      return (i - first) % step == offset % step && i - first >= offset ? static_cast<double>(rows) / sampled : 0.0;
    };
    const std::vector<double> expected = reference::block_mass(c.q.doubles(), c.k.doubles(), lse, s.heads, s.queries, s.keys,
                                                               s.width, c.scale, static_cast<int>(a.block_tokens), keeps, weight);
    const bool exact = std::is_same_v<Element, float>;
    for (std::size_t i = 0; i < expected.size(); ++i)
      ASSERT_NEAR(mass[i], expected[i], (exact ? 1e-5 : 1e-3) * (1 + expected[i])) << "round " << round << " block " << i;
  }

  template <typename Element>
  void check_search(const Shape& s, int round) {
    std::mt19937 random(static_cast<std::uint32_t>(100 + round));
    AttentionCase<Element> c(s.heads, s.queries, s.keys, s.width, random(), round % 2 == 1, 1, round % 4 == 1 ? 11 : 0);
    const BlockMask mask = band(random, s.queries, s.keys);
    const BlockMask* used = round % 2 == 0 ? nullptr : &mask;
    const auto keeps = [&](int h, int i, int j) { return used == nullptr || used->keeps(h, i, j); };
    const reference::AttentionResult full = c.expected(keeps);
    BlockSearchArguments<Element> a;
    a.q = c.q.const_view();
    a.k = c.k.const_view();
    a.v = c.v.const_view();
    a.scale = c.scale;
    a.mask = used;
    a.block_tokens = round % 3 == 2 ? 128 : 64;
    a.out = c.out.view();
    a.log_sum_exp = {c.log_sum_exp.data(), {s.heads, s.queries}, {s.queries, 1}};
    std::vector<float> mass, alone;
    a.mass = mass_view(mass, c, static_cast<int>(a.block_tokens));
    block_search(a);
    const std::vector<double> expected =
        reference::block_mass(c.q.doubles(), c.k.doubles(), full.log_sum_exp, s.heads, s.queries, s.keys, s.width, c.scale,
                              static_cast<int>(a.block_tokens), keeps, [](int) { return 1.0; });
    const bool exact = std::is_same_v<Element, float>;
    for (std::size_t i = 0; i < expected.size(); ++i)
      ASSERT_NEAR(mass[i], expected[i], (exact ? 2e-4 : 1e-2)) << "round " << round << " block " << i;
    EXPECT_LT(test::relative_error(c.out.doubles(), full.out), exact ? 2e-5 : 8e-3) << "round " << round;
    for (std::size_t i = 0; i < full.log_sum_exp.size(); ++i) {
      if (std::isinf(full.log_sum_exp[i])) {
        ASSERT_EQ(c.log_sum_exp[i], -std::numeric_limits<float>::infinity());
      } else {
        ASSERT_NEAR(c.log_sum_exp[i], full.log_sum_exp[i], (exact ? 2e-5 : 1e-3) * (1 + std::abs(full.log_sum_exp[i])));
      }
    }
    a.out = {};
    a.v = {};
    a.mass = mass_view(alone, c, static_cast<int>(a.block_tokens));
    block_search(a);
    ASSERT_EQ(alone, mass) << "without values the mass is the same";
  }
};

TEST_P(BlockMass, WithSuppliedLogSumExpAgreesWithTheOracle) {
  for (int round = 0; round < 18; ++round) {
    check_supplied<float>(kShapes[round % 9], round);
    check_supplied<Bfloat16Bits>(kShapes[round % 9], round);
  }
}

TEST_P(BlockMass, OfTheFirstSearchIsExactAndComesWithAttentionAndLogSumExp) {
  for (int round = 0; round < 18; ++round) {
    check_search<float>(kShapes[round % 9], round);
    check_search<Bfloat16Bits>(kShapes[round % 9], round);
  }
}

TEST_P(BlockMass, FollowsARunningMaximumThatGrowsWithEveryBlock) {
  AttentionCase<float> c(1, 70, 400, 16, 8);
  for (int j = 0; j < 400; ++j) c.k.at(0, j, 0) = static_cast<float>(j) * 0.3f;
  for (int i = 0; i < 70; ++i) c.q.at(0, i, 0) = i % 2 ? 4.0f : -4.0f;
  const auto every = [](int, int, int) { return true; };
  BlockSearchArguments<float> a;
  a.q = c.q.const_view();
  a.k = c.k.const_view();
  a.scale = c.scale;
  std::vector<float> mass;
  a.mass = mass_view(mass, c, 64);
  block_search(a);
  const std::vector<double> expected = reference::block_mass(c.q.doubles(), c.k.doubles(), c.expected(every).log_sum_exp, 1, 70,
                                                             400, 16, c.scale, 64, every, [](int) { return 1.0; });
  for (std::size_t i = 0; i < expected.size(); ++i) ASSERT_NEAR(mass[i], expected[i], 1e-3) << i;
}

TEST_P(BlockMass, GivesTheSameBitsForEveryNumberOfThreads) {
  AttentionCase<float> c(3, 190, 250, 72, 4), d = c;
  std::vector<float> one, four, lse(3 * 190, 5.0f);
  BlockSearchArguments<float> a;
  a.q = c.q.const_view();
  a.k = c.k.const_view();
  a.v = c.v.const_view();
  a.out = c.out.view();
  a.scale = c.scale;
  a.mass = mass_view(one, c, 64);
  block_search(a);
  a.out = d.out.view();
  a.mass = mass_view(four, c, 64);
  block_search(a, test::threads(4));
  EXPECT_EQ(one, four);
  EXPECT_EQ(c.out.storage, d.out.storage);
  BlockMassArguments<float> b;
  b.q = a.q;
  b.k = a.k;
  b.log_sum_exp = {lse.data(), {3, 190}, {190, 1}};
  b.mass = mass_view(one, c, 64);
  block_mass(b);
  b.mass = mass_view(four, c, 64);
  block_mass(b, test::threads(4));
  EXPECT_EQ(one, four);
}

INSTANTIATE_TEST_SUITE_P(Machine, BlockMass, ::testing::ValuesIn(available_instruction_sets()),
                         [](const auto& info) { return info.param; });

TEST(BlockMass, RowsSumToTheirQueriesWithTheirOwnLogSumExp) {
  AttentionCase<float> c(2, 150, 333, 64, 5);
  block_sparse_attention(c.arguments(nullptr));
  BlockMassArguments<float> a;
  a.q = c.q.const_view();
  a.k = c.k.const_view();
  a.scale = c.scale;
  a.log_sum_exp = {c.log_sum_exp.data(), {2, 150}, {150, 1}};
  std::vector<float> mass;
  a.mass = mass_view(mass, c, 64);
  block_mass(a);
  for (std::size_t row = 0; row < 6; ++row) {
    double sum = 0;
    for (std::size_t n = 0; n < 6; ++n) sum += mass[row * 6 + n];
    EXPECT_NEAR(sum, row % 3 == 2 ? 22 : 64, 1e-3);
  }
}

TEST(BlockMass, StaysFiniteWhenTheLogSumExpIsFarTooLow) {
  AttentionCase<float> c(1, 64, 64, 8, 6);
  std::vector<float> lse(64, -500.0f), mass;
  BlockMassArguments<float> a;
  a.q = c.q.const_view();
  a.k = c.k.const_view();
  a.log_sum_exp = {lse.data(), {1, 64}, {64, 1}};
  a.mass = mass_view(mass, c, 64);
  block_mass(a);
  EXPECT_TRUE(std::isfinite(mass[0]));
}

TEST(BlockMass, SaysWhatItExpected) {
  AttentionCase<float> c(2, 70, 80, 16, 1);
  std::vector<float> mass;
  const auto refusal = [&](const std::function<void(BlockMassArguments<float>&)>& spoil) -> std::string {
    BlockMassArguments<float> a;
    a.q = c.q.const_view();
    a.k = c.k.const_view();
    a.log_sum_exp = {c.log_sum_exp.data(), {2, 70}, {70, 1}};
    a.mass = mass_view(mass, c, 64);
    spoil(a);
    try {
      block_mass(a);
    } catch (const Error& error) {
      return error.what();
    }
    return "";
  };
  EXPECT_NE(refusal([](auto& a) { a.k.shape[2] = 15; }).find("expected k of (2,80,16), got (2,80,15)"), std::string::npos);
  EXPECT_NE(refusal([](auto& a) { a.mass.shape[2] = 1; }).find("expected mass of (2,2,2)"), std::string::npos);
  EXPECT_NE(refusal([](auto& a) { a.log_sum_exp.data = nullptr; }).find("got no data"), std::string::npos);
  EXPECT_NE(refusal([](auto& a) { a.block_tokens = 96; }).find("multiple of 64, got 96"), std::string::npos);
  EXPECT_NE(refusal([](auto& a) { a.row_step = 65; }).find("row step of 1 to 64"), std::string::npos);
  EXPECT_NE(refusal([](auto& a) { a.scale = NAN; }).find("finite scale"), std::string::npos);
}

}  // namespace
}  // namespace ditscope
