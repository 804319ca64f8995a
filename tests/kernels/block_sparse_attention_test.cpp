#include "kernels/block_sparse_attention.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <tuple>

#include "kernels/error.h"
#include "tests/kernels/attention_case.h"
#include "tests/kernels/random_mask.h"

namespace ditscope {
namespace {

using test::AttentionCase;

using test::random_mask;

/// The same inputs with tokens side by side in memory: the kernels then read them where they lie.
template <typename Element>
void lay_side_by_side(AttentionCase<Element>& c) {
  for (test::Array<Element>* array : {&c.q, &c.k, &c.v, &c.out})
    array->stride = {array->shape[1] * array->shape[2], array->shape[2], 1};
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
    if (round % 6 == 2) lay_side_by_side(c);
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

/// Random places for tokens, a tenth of them empty: (H, places), -1 for none; which are empty does not depend on the head.
std::vector<std::int32_t> random_places(std::mt19937& random, int heads, int tokens, int places) {
  std::vector<int> filled(static_cast<std::size_t>(places));
  for (int p = 0; p < places; ++p) filled[static_cast<std::size_t>(p)] = p;
  std::shuffle(filled.begin(), filled.end(), random);
  filled.resize(static_cast<std::size_t>(tokens));
  std::vector<std::int32_t> order(static_cast<std::size_t>(heads * places), -1);
  for (int h = 0; h < heads; ++h) {
    std::shuffle(filled.begin(), filled.end(), random);
    for (int t = 0; t < tokens; ++t) order[static_cast<std::size_t>(h * places + filled[static_cast<std::size_t>(t)])] = t;
  }
  return order;
}

template <typename Element>
void check_places(std::uint32_t seed) {
  std::mt19937 random(seed);
  for (int round = 0; round < 16; ++round) {
    const int heads = 1 + round % 2, width = std::array{64, 72, 128, 9}[static_cast<std::size_t>(round % 4)];
    const int queries = 1 + static_cast<int>(random() % 190), keys = 1 + static_cast<int>(random() % 190);
    const int query_places = queries + queries / 10, key_places = keys + keys / 10;
    AttentionCase<Element> c(heads, queries, keys, width, random(), round % 4 == 1, round % 8 == 7 ? 2 : 1);
    if (round % 4 == 2) lay_side_by_side(c);
    const std::vector<std::int32_t> query_tokens = random_places(random, heads, queries, query_places);
    const std::vector<std::int32_t> key_tokens = random_places(random, heads, keys, key_places);
    const int sets = round % 3 == 0 ? 1 : heads;  // one order for all, or one a head
    MaskDescription d;
    d.queries = query_places;
    d.keys = key_places;
    d.spans_per_row = 1;
    const int half = 1 + static_cast<int>(random() % 90);
    for (int i = 0; i < query_places; ++i)
      d.spans.push_back({std::clamp(i - half, 0, key_places), std::min(i + half, key_places)});
    d.valid_keys.assign(static_cast<std::size_t>((key_places + 63) / 64), 0);
    for (int p = 0; p < key_places; ++p)
      d.valid_keys[static_cast<std::size_t>(p / 64)] |= std::uint64_t{key_tokens[p] >= 0} << (p % 64);
    const BlockMask mask(d);
    std::vector<std::vector<int>> query_place(static_cast<std::size_t>(heads)), key_place = query_place;
    for (int h = 0; h < heads; ++h) {
      const int of = sets == 1 ? 0 : h;
      query_place[h].resize(static_cast<std::size_t>(queries));
      key_place[h].resize(static_cast<std::size_t>(keys));
      for (int p = 0; p < query_places; ++p) {
        if (query_tokens[of * query_places + p] >= 0) query_place[h][query_tokens[of * query_places + p]] = p;
      }
      for (int p = 0; p < key_places; ++p) {
        if (key_tokens[of * key_places + p] >= 0) key_place[h][key_tokens[of * key_places + p]] = p;
      }
    }
    test::Array<Element> residual(heads, queries, width);
    residual.fill_normal(random, 1);
    std::vector<float> row_scale(static_cast<std::size_t>(heads * queries));
    for (float& value : row_scale) value = std::uniform_real_distribution<float>(0.5f, 2)(random);
    auto a = c.arguments(&mask);
    a.query_tokens = {query_tokens.data(), {heads, query_places}, {sets == 1 ? 0 : query_places, 1}};
    a.key_tokens = {key_tokens.data(), {heads, key_places}, {sets == 1 ? 0 : key_places, 1}};
    a.row_scale = {row_scale.data(), {heads, queries}, {queries, 1}};
    a.residual = residual.const_view();
    block_sparse_attention(a, round % 2 == 0 ? Workers{} : test::threads(3));
    auto expected = c.expected([&](int h, int i, int j) { return mask.keeps(h, query_place[h][i], key_place[h][j]); });
    const std::vector<double> added = residual.doubles();
    for (std::size_t n = 0; n < expected.out.size(); ++n)
      expected.out[n] = expected.out[n] * static_cast<double>(row_scale[n / static_cast<std::size_t>(width)]) + added[n];
    const bool floats = std::is_same_v<Element, float>;
    EXPECT_LT(test::relative_error(c.out.doubles(), expected.out), floats ? 2e-6 : 8e-3) << "round " << round;
    for (std::size_t i = 0; i < expected.log_sum_exp.size(); ++i) {
      if (std::isinf(expected.log_sum_exp[i])) {
        ASSERT_EQ(c.log_sum_exp[i], -std::numeric_limits<float>::infinity());
      } else {
        ASSERT_NEAR(c.log_sum_exp[i], expected.log_sum_exp[i], floats ? 2e-5 : 1e-3) << "round " << round;
      }
    }
  }
}

TEST_P(EveryInstructionSet, FetchesTokensByTheirPlacesAndPutsThemBack) {
  check_places<float>(31);
  check_places<Bfloat16Bits>(32);
}

TEST_P(EveryInstructionSet, IsExactForTheWidthsOfTheModels) {
  for (const int width : {8, 32, 64, 72, 88, 128, 256}) {
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

TEST_P(EveryInstructionSet, ScalesBlocksAddsTheirVectorAndTakesTheOutputAsResidual) {
  for (const int width : {5, 40, 64}) {
    AttentionCase<float> c(2, 150, 150, width, 5);
    std::mt19937 random(6);
    const BlockMask mask = random_mask(random, 2, 150, 150);
    block_sparse_attention(c.arguments(&mask));
    const std::vector<double> plain = c.out.doubles();
    std::vector<float> block_scale(2 * 3), vector(static_cast<std::size_t>(2) * 3 * width);
    std::uniform_real_distribution<float> draw(-1, 2);
    for (auto* values : {&block_scale, &vector})
      for (float& value : *values) value = draw(random);
    c.out.fill_normal(random, 1);
    const std::vector<double> before = c.out.doubles();
    AttentionArguments<float> a = c.arguments(&mask);
    a.block_scale = {block_scale.data(), {2, 3}, {3, 1}};
    a.block_vector = {vector.data(), {2, 3, width}, {3 * width, width, 1}};
    a.residual = c.out.const_view();
    block_sparse_attention(a);
    std::size_t n = 0;
    for (int h = 0; h < 2; ++h)
      for (int i = 0; i < 150; ++i)
        for (int x = 0; x < width; ++x, ++n) {
          const int block = h * 3 + i / 64;
          ASSERT_NEAR(c.out.at(h, i, x), block_scale[block] * plain[n] + vector[block * width + x] + before[n], 1e-5);
        }
  }
}

TEST_P(EveryInstructionSet, MapsTheSoftmaxMassOfEveryBlock) {
  std::mt19937 random(19);
  for (int round = 0; round < 4; ++round) {
    const int heads = 2, queries = 90 + static_cast<int>(random() % 90), keys = 150 + static_cast<int>(random() % 90), width = 24;
    const int rows = (queries + 63) / 64, columns = (keys + 63) / 64;
    AttentionCase<float> c(heads, queries, keys, width, random(), false, 1, round % 2 == 1 ? 11 : 0);
    const BlockMask mask = random_mask(random, heads, queries, keys), rest = mask.complement();
    std::vector<float> map(static_cast<std::size_t>(heads) * rows * columns, 777.0f);
    SplitArguments<float> a;
    a.q = c.q.const_view();
    a.k = c.k.const_view();
    a.v = c.v.const_view();
    a.scale = c.scale;
    a.kept = &mask;
    a.skipped = &rest;
    a.out = c.out.view();
    a.block_mass = {map.data(), {heads, rows, columns}, {rows * columns, columns, 1}};
    split_attention(a);
    const std::vector<double> q = c.q.doubles(), k = c.k.doubles();
    const auto total = c.expected([](int, int, int) { return true; }).log_sum_exp;
    std::vector<double> expected(map.size(), 0.0);
    for (int h = 0; h < heads; ++h)
      for (int i = 0; i < queries; ++i)
        for (int j = 0; j < keys; ++j) {
          double dot = 0;
          for (int x = 0; x < width; ++x) dot += q[(h * queries + i) * width + x] * k[(h * keys + j) * width + x];
          const double share = std::exp(c.scale * dot - total[static_cast<std::size_t>(h) * queries + i]);
          expected[(h * rows + i / 64) * columns + j / 64] += share / std::min(64, queries - i / 64 * 64);
        }
    for (std::size_t n = 0; n < map.size(); ++n) ASSERT_NEAR(map[n], expected[n], 3e-5) << "cell " << n << " round " << round;
  }
}

TEST_P(EveryInstructionSet, LetsANaNOfTheInputsShow) {
  for (const int where : {0, 1, 2}) {
    AttentionCase<float> c(1, 70, 90, 32, 4);
    (where == 0 ? c.q : where == 1 ? c.k : c.v).at(0, 66, 7) = NAN;
    block_sparse_attention(c.arguments(nullptr));
    for (int i = 0; i < 70; ++i) {
      const bool touched = where != 0 || i == 66;
      ASSERT_EQ(std::isnan(c.out.at(0, i, 7)), touched) << "row " << i << " where " << where;
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

template <typename Element>
void expect_same_bits(const BlockMask* mask, int heads, int tokens, bool side_by_side) {
  AttentionCase<Element> one(heads, tokens, tokens, 72, 4), other = one;
  if (side_by_side) {
    lay_side_by_side(one);
    lay_side_by_side(other);
  }
  block_sparse_attention(one.arguments(mask));
  for (const int count : {2, 3, 5}) {
    for (Element& element : other.out.storage) element = test::from_float<Element>(777);
    block_sparse_attention(other.arguments(mask), test::threads(count));
    ASSERT_EQ(one.out.doubles(), other.out.doubles()) << count << " threads";
    ASSERT_EQ(one.log_sum_exp, other.log_sum_exp) << count << " threads";
  }
}

TEST_P(EveryInstructionSet, GivesTheSameBitsForEveryNumberOfThreads) {
  std::mt19937 random(3);
  const BlockMask few = random_mask(random, 3, 700, 700);  // some key blocks are packed by one thread, some by all
  for (const bool side_by_side : {false, true}) {
    expect_same_bits<float>(&few, 3, 700, side_by_side);
    expect_same_bits<Bfloat16Bits>(&few, 3, 700, side_by_side);
    expect_same_bits<float>(nullptr, 2, 700, side_by_side);
    expect_same_bits<Bfloat16Bits>(nullptr, 2, 700, side_by_side);
  }
}

TEST_P(EveryInstructionSet, SplitsIntoTheSameBitsForEveryNumberOfThreads) {
  std::mt19937 random(13);
  const BlockMask mask = random_mask(random, 2, 400, 400), rest = mask.complement();
  const auto split = [&](const Workers& workers) {
    AttentionCase<float> c(2, 400, 400, 40, 4);
    test::Array<float> residual(2, 400, 40);
    std::vector<float> map(2 * 7 * 7);
    SplitArguments<float> a;
    a.q = c.q.const_view();
    a.k = c.k.const_view();
    a.v = c.v.const_view();
    a.scale = c.scale;
    a.kept = &mask;
    a.skipped = &rest;
    a.out = c.out.view();
    a.residual = residual.view();
    a.block_mass = {map.data(), {2, 7, 7}, {49, 7, 1}};
    split_attention(a, workers);
    return std::make_tuple(c.out.doubles(), residual.doubles(), map);
  };
  const auto one = split({});
  for (const int count : {2, 4}) ASSERT_EQ(one, split(test::threads(count))) << count << " threads";
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
  refused([&](auto& a) { a.block_scale = {small.data(), {2, 1}, {1, 1}}; });
  refused([&](auto& a) { a.block_vector = {small.data(), {2, 2, 15}, {15, 15, 1}}; });
  const std::vector<std::int32_t> order(160, 80);  // a token too many
  refused([&](auto& a) { a.key_tokens = {order.data(), {2, 80}, {80, 1}}; });
  refused([&](auto& a) { a.key_tokens = {order.data(), {2, 40}, {80, 2}}; });
  refused([](auto& a) { a.q.shape[2] = a.k.shape[2] = a.v.shape[2] = a.out.shape[2] = 257; });
}

}  // namespace
}  // namespace ditscope
