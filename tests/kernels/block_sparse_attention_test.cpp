#include "kernels/block_sparse_attention.h"

#include <gtest/gtest.h>

#include "kernels/error.h"
#include "tests/kernels/attention_case.h"

namespace ditscope {
namespace {

using test::AttentionCase;

/// A random mask with bands, text columns, dense rows, empty rows and block lists, none of them aligned to blocks.
BlockMask random_mask(std::mt19937& random, int heads, int queries, int keys) {
  MaskDescription d;
  d.queries = queries;
  d.keys = keys;
  d.spans_per_row = 1;
  const int half = static_cast<int>(random() % 40), text = static_cast<int>(random() % std::min(keys, 50));
  const bool empty_rows = random() % 2 == 0;
  if (!empty_rows) d.always = {0, text};
  for (int i = 0; i < queries; ++i) {
    if (i % 29 == 3)
      d.spans.push_back({0, keys});
    else if (empty_rows && i % 5 == 1)
      d.spans.push_back({0, 0});
    else
      d.spans.push_back({std::clamp(i - half, 0, keys), std::clamp(i + half + 1, 0, keys)});
  }
  if (random() % 2 == 0) {
    d.lists = heads;
    d.block_offsets.push_back(0);
    for (int row = 0; row < heads * ((queries + 63) / 64); ++row) {
      for (int n = 0; n < (keys + 63) / 64; ++n) {
        if (!empty_rows && random() % 4 == 0) d.key_blocks.push_back(n);
      }
      d.block_offsets.push_back(static_cast<std::int64_t>(d.key_blocks.size()));
    }
    for (int h = 0; h < heads; ++h) d.list_of_head.push_back(heads - 1 - h);
  }
  return BlockMask(d);
}

template <typename Element>
void expect_equal(AttentionCase<Element>& c, const BlockMask* mask, const std::string& what, bool outliers = false) {
  const auto expected = c.expected([&](int h, int i, int j) { return mask == nullptr || mask->keeps(h, i, j); });
  // Logits of outliers reach hundreds, where one rounding of a float32 logit moves its probability by 1e-5.
  const double tolerance = !std::is_same_v<Element, float> ? 8e-3 : outliers ? 2e-5 : 2e-6;
  const double tolerance_lse = !std::is_same_v<Element, float> ? 1e-3 : outliers ? 2e-4 : 2e-5;
  EXPECT_LT(test::relative_error(c.out.doubles(), expected.out), tolerance) << what;
  for (std::size_t i = 0; i < expected.log_sum_exp.size(); ++i) {
    if (std::isinf(expected.log_sum_exp[i])) {
      ASSERT_EQ(c.log_sum_exp[i], -std::numeric_limits<float>::infinity()) << what << " row " << i;
    } else {
      ASSERT_NEAR(c.log_sum_exp[i], expected.log_sum_exp[i],
                  tolerance_lse * std::max(1.0, std::abs(expected.log_sum_exp[i]) / 10))
          << what << " row " << i;
    }
  }
}

/// Every instruction set that this machine has meets the float64 oracle.
class EveryInstructionSet : public ::testing::TestWithParam<std::string> {
 protected:
  test::ScopedVariable choice_{"DITSCOPE_ISA", GetParam()};
};

template <typename Element>
void check_random_shapes(int rounds, std::uint32_t seed) {
  std::mt19937 random(seed);
  for (int round = 0; round < rounds; ++round) {
    const int widths[] = {1, 7, 8, 16, 31, 32, 40, 64, 72, 88, 96, 128, 129, 200, 255, 256};
    const int heads = 1 + static_cast<int>(random() % 3), width = widths[random() % 16];
    const int queries = round % 7 == 0 ? 1 : 1 + static_cast<int>(random() % 190),
              keys = round % 5 == 0 ? 1 : 1 + static_cast<int>(random() % 190);
    AttentionCase<Element> c(heads, queries, keys, width, random(), round % 2 == 1, round % 6 == 5 ? 2 : 1,
                             round % 4 == 3 ? 11 : 0);
    if (round % 8 == 6) c.scale = -c.scale;
    const BlockMask mask = random_mask(random, heads, queries, keys);
    const BlockMask* used = round % 3 == 0 ? nullptr : &mask;
    block_sparse_attention(c.arguments(used));
    expect_equal(c, used,
                 "heads " + std::to_string(heads) + " queries " + std::to_string(queries) + " keys " + std::to_string(keys) +
                     " width " + std::to_string(width) + " round " + std::to_string(round),
                 round % 4 == 3);
  }
}

TEST_P(EveryInstructionSet, AgreesWithTheOracleOnRandomShapesInFloat32) {
  check_random_shapes<float>(60, 11);
}
TEST_P(EveryInstructionSet, AgreesWithTheOracleOnRandomShapesInBfloat16) {
  check_random_shapes<Bfloat16Bits>(60, 12);
}

TEST_P(EveryInstructionSet, IsExactForTheWidthsOfTheModels) {
  for (const int width : {32, 64, 72, 88, 128}) {
    AttentionCase<float> c(2, 150, 333, width, static_cast<std::uint32_t>(width));
    block_sparse_attention(c.arguments(nullptr));
    expect_equal(c, nullptr, "width " + std::to_string(width));
    AttentionCase<Bfloat16Bits> b(2, 150, 333, width, static_cast<std::uint32_t>(width));
    block_sparse_attention(b.arguments(nullptr));
    expect_equal(b, nullptr, "bfloat16 width " + std::to_string(width));
  }
}

TEST_P(EveryInstructionSet, AddsResidualAndScalesRowsInTheEpilogue) {
  AttentionCase<float> c(2, 130, 130, 40, 5);
  MaskDescription d;
  d.queries = d.keys = 130;
  d.spans_per_row = 1;
  for (int i = 0; i < 130; ++i) d.spans.push_back(i == 77 ? TokenSpan{0, 0} : TokenSpan{0, 100});
  const BlockMask mask(d);
  block_sparse_attention(c.arguments(&mask));
  const std::vector<double> plain = c.out.doubles();

  test::Array<float> residual(2, 130, 40);
  std::mt19937 random(6);
  residual.fill_normal(random, 1);
  std::vector<float> row_scale(2 * 130);
  for (float& value : row_scale) value = std::uniform_real_distribution<float>(0, 2)(random);
  AttentionArguments<float> a = c.arguments(&mask);
  a.row_scale = {row_scale.data(), {2, 130}, {130, 1}};
  a.residual = residual.const_view();
  block_sparse_attention(a);
  std::size_t n = 0;
  for (int h = 0; h < 2; ++h)
    for (int i = 0; i < 130; ++i)
      for (int x = 0; x < 40; ++x, ++n) {
        const double expected = row_scale[h * 130 + i] * plain[n] + residual.at(h, i, x);
        ASSERT_NEAR(c.out.at(h, i, x), expected, 1e-5);
        if (i == 77) {
          ASSERT_EQ(c.out.at(h, i, x), residual.at(h, i, x)) << "an empty row is its residual";
        }
      }
}

TEST_P(EveryInstructionSet, SplitsFullAttentionIntoWhatIsKeptAndTheRest) {
  std::mt19937 random(9);
  for (const bool unit_rho : {false, true}) {
    for (int round = 0; round < 6; ++round) {
      const int heads = 2, tokens = 100 + static_cast<int>(random() % 90), width = round % 2 ? 72 : 24;
      AttentionCase<float> full(heads, tokens, tokens, width, random());
      AttentionCase<float> window = full, skipped = full;
      const BlockMask mask = random_mask(random, heads, tokens, tokens), rest = mask.complement();
      test::Array<float> residual(heads, tokens, width);
      std::vector<float> kept_lse(static_cast<std::size_t>(heads) * tokens);
      SplitArguments<float> a;
      a.q = full.q.const_view();
      a.k = full.k.const_view();
      a.v = full.v.const_view();
      a.scale = full.scale;
      a.kept = &mask;
      a.skipped = &rest;
      a.unit_rho = unit_rho;
      a.out = full.out.view();
      a.log_sum_exp = {full.log_sum_exp.data(), {heads, tokens}, {tokens, 1}};
      a.log_sum_exp_kept = {kept_lse.data(), {heads, tokens}, {tokens, 1}};
      a.residual = residual.view();
      split_attention(a);
      expect_equal(full, nullptr, "full half of the split");
      block_sparse_attention(window.arguments(&mask));
      for (int h = 0; h < heads; ++h)
        for (int i = 0; i < tokens; ++i) {
          const std::size_t row = static_cast<std::size_t>(h) * tokens + i;
          if (std::isinf(window.log_sum_exp[row])) {
            ASSERT_EQ(kept_lse[row], window.log_sum_exp[row]);
          } else {
            ASSERT_NEAR(kept_lse[row], window.log_sum_exp[row], 1e-4);
          }
          const double rho = unit_rho ? 1 : std::exp(static_cast<double>(kept_lse[row]) - full.log_sum_exp[row]);
          for (int x = 0; x < width; ++x) {
            ASSERT_NEAR(residual.at(h, i, x), full.out.at(h, i, x) - rho * window.out.at(h, i, x), 2e-5) << "row " << i;
          }
        }
    }
  }
}

TEST_P(EveryInstructionSet, GivesTheSameBitsForEveryNumberOfThreads) {
  std::mt19937 random(3);
  AttentionCase<float> one(3, 190, 190, 72, 4), four = one;
  const BlockMask mask = random_mask(random, 3, 190, 190);
  block_sparse_attention(one.arguments(&mask));
  for (int round = 0; round < 3; ++round) {
    block_sparse_attention(four.arguments(&mask), test::threads(4));
    ASSERT_EQ(one.out.storage, four.out.storage);
    ASSERT_EQ(one.log_sum_exp, four.log_sum_exp);
  }
}

INSTANTIATE_TEST_SUITE_P(Machine, EveryInstructionSet, ::testing::ValuesIn(available_instruction_sets()),
                         [](const auto& info) { return info.param; });

TEST(BlockSparseAttention, OffersThePortableCodeOnEveryMachineAndTheOverrideLowersTheChoice) {
  const std::vector<std::string> all = available_instruction_sets();
  ASSERT_FALSE(all.empty());
  EXPECT_EQ(all.back(), "portable");
  test::ScopedVariable choice("DITSCOPE_ISA", "portable");
  EXPECT_EQ(available_instruction_sets(), std::vector<std::string>{"portable"});
}

TEST(BlockSparseAttention, LogitsFarApartNeitherOverflowNorVanish) {
  AttentionCase<float> c(1, 70, 200, 16, 8);
  for (int j = 0; j < 200; ++j) c.k.at(0, j, 0) = static_cast<float>(j);  // the maximum grows with every block
  for (int i = 0; i < 70; ++i) c.q.at(0, i, 0) = i % 2 ? 50.0f : -50.0f;
  block_sparse_attention(c.arguments(nullptr));
  expect_equal(c, nullptr, "logits from -2500 to 2500");
}

TEST(BlockSparseAttention, RefusesShapesThatDisagreeAndWritesNothing) {
  const auto refused = [](const std::function<void(AttentionArguments<float>&)>& spoil) {
    AttentionCase<float> c(2, 70, 80, 16, 1);
    const std::vector<float> before = c.out.storage;
    AttentionArguments<float> a = c.arguments(nullptr);
    spoil(a);
    EXPECT_THROW(block_sparse_attention(a), Error);
    EXPECT_EQ(c.out.storage, before);
  };
  const BlockMask wrong = BlockMask::dense(70, 81);
  std::vector<float> small(10);
  refused([](auto& a) { a.k.shape[1] = 79; });
  refused([](auto& a) { a.v.shape[2] = 15; });
  refused([](auto& a) { a.out.shape[0] = 1; });
  refused([](auto& a) { a.log_sum_exp.shape[1] = 69; });
  refused([](auto& a) { a.q.data = nullptr; });
  refused([](auto& a) { a.scale = NAN; });
  refused([&](auto& a) { a.mask = &wrong; });
  refused([&](auto& a) { a.row_scale = {small.data(), {2, 5}, {5, 1}}; });
  refused([](auto& a) { a.q.shape[2] = a.k.shape[2] = a.v.shape[2] = a.out.shape[2] = 257; });
}

}  // namespace
}  // namespace ditscope
