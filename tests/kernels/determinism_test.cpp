// The same bits from the same input, whatever the number of threads: what has no such test of its own. Attention, refresh, rows,
// masses, k-means and int8 are in theirs; moving tokens adds nothing up.
#include <gtest/gtest.h>

#include <cstring>

#include "kernels/block_selection.h"
#include "kernels/int8_attention.h"
#include "kernels/merge.h"
#include "kernels/pooled_attention.h"
#include "kernels/pooling.h"
#include "tests/kernels/attention_case.h"

namespace ditscope {
namespace {

constexpr int kHeads = 3, kTokens = 509, kWidth = 72, kBlocks = 8;  // the last block is ragged

/// What a kernel writes, as bytes.
class Memory {
 public:
  explicit Memory(std::size_t floats) : values(floats, 777.0f) {}
  std::vector<float> values;
  bool same(const Memory& other) const {
    return std::memcmp(values.data(), other.values.data(), values.size() * sizeof(float)) == 0;
  }
};

std::vector<float> normal_numbers(std::size_t count, std::uint32_t seed) {
  std::mt19937 random(seed);
  std::normal_distribution<float> normal;
  std::vector<float> values(count);
  for (float& value : values) value = normal(random);
  return values;
}

template <typename Element>
class SameBits : public ::testing::Test {
 protected:
  SameBits() : c(kHeads, kTokens, kTokens, kWidth, 11, true) {}
  test::AttentionCase<Element> c;
};
using Elements = ::testing::Types<float, Bfloat16Bits>;
TYPED_TEST_SUITE(SameBits, Elements);

TYPED_TEST(SameBits, Pooling) {
  const std::vector<std::int64_t> offsets = block_offsets(kTokens, 64);
  const auto run = [&](int threads) {
    Memory memory(kHeads * kBlocks * (2 * kWidth + 1));
    float* at = memory.values.data();
    PoolingArguments<TypeParam> a;
    a.x = this->c.k.const_view();
    a.block_offsets = {offsets.data(), {kBlocks + 1}, {1}};
    a.mean = {at, {kHeads, kBlocks, kWidth}, {kBlocks * kWidth, kWidth, 1}};
    a.deviation = {at + kHeads * kBlocks * kWidth, {kHeads, kBlocks, kWidth}, {kBlocks * kWidth, kWidth, 1}};
    a.similarity = {at + 2 * kHeads * kBlocks * kWidth, {kHeads, kBlocks}, {kBlocks, 1}};
    pool_blocks(a, test::threads(threads));
    return memory;
  };
  EXPECT_TRUE(run(1).same(run(4)));
}

TYPED_TEST(SameBits, PooledAttentionAndItsRest) {
  const std::vector<float> pooled = normal_numbers(kHeads * kBlocks * kWidth, 2);
  const HostView<const float, 3> blocks{pooled.data(), {kHeads, kBlocks, kWidth}, {kBlocks * kWidth, kWidth, 1}};
  for (const std::string& name : available_instruction_sets()) {
    const test::ScopedVariable choice("DITSCOPE_ISA", name);
    const auto run = [&](int threads) {
      Memory memory(kHeads * kBlocks * (kBlocks + 2 + kWidth));
      float *shares = memory.values.data(), *extra = shares + kHeads * kBlocks * kBlocks, *kept = extra + kHeads * kBlocks,
            *rest = kept + kHeads * kBlocks;
      PooledAttentionArguments<TypeParam> a;
      a.queries = a.keys = blocks;
      a.extra_keys = this->c.k.const_view();
      a.scale = 0.2f;
      a.shares = {shares, {kHeads, kBlocks, kBlocks}, {kBlocks * kBlocks, kBlocks, 1}};
      a.extra_share = {extra, {kHeads, kBlocks}, {kBlocks, 1}};
      pooled_attention(a, test::threads(threads));
      PooledRestArguments r;
      r.shares = {shares, {kHeads, kBlocks, kBlocks}, {kBlocks * kBlocks, kBlocks, 1}};
      r.extra_share = {extra, {kHeads, kBlocks}, {kBlocks, 1}};
      r.values = blocks;
      r.rest = {rest, {kHeads, kBlocks, kWidth}, {kBlocks * kWidth, kWidth, 1}};
      r.kept_share = {kept, {kHeads, kBlocks}, {kBlocks, 1}};
      pooled_rest(r, test::threads(threads));
      return memory;
    };
    EXPECT_TRUE(run(1).same(run(4))) << name;
  }
}

TYPED_TEST(SameBits, Merge) {
  test::AttentionCase<TypeParam> other(kHeads, kTokens, kTokens, kWidth, 12, true);
  const std::vector<float> a_sums = normal_numbers(kHeads * kTokens, 3), b_sums = normal_numbers(kHeads * kTokens, 4);
  const auto run = [&](int threads) {
    test::Array<TypeParam> out(kHeads, kTokens, kWidth);
    Memory sums(kHeads * kTokens);
    MergeArguments<TypeParam> m;
    m.out_a = this->c.q.const_view();
    m.out_b = other.q.const_view();
    m.log_sum_exp_a = {a_sums.data(), {kHeads, kTokens}, {kTokens, 1}};
    m.log_sum_exp_b = {b_sums.data(), {kHeads, kTokens}, {kTokens, 1}};
    m.out = out.view();
    m.log_sum_exp = {sums.values.data(), {kHeads, kTokens}, {kTokens, 1}};
    merge_attention(m, test::threads(threads));
    return std::pair{out.storage, sums};
  };
  const auto one = run(1), four = run(4);
  EXPECT_EQ(one.first, four.first);
  EXPECT_TRUE(one.second.same(four.second));
}

TYPED_TEST(SameBits, QuantisedTokens) {
  const auto run = [&](int threads) {
    std::vector<std::int8_t> values(kHeads * kTokens * kWidth, 99);
    Memory scales(kHeads * kBlocks);
    quantise_tokens<TypeParam>({this->c.k.const_view(),
                                {},
                                64,
                                {values.data(), {kHeads, kTokens, kWidth}, {kTokens * kWidth, kWidth, 1}},
                                {scales.values.data(), {kHeads, kBlocks}, {kBlocks, 1}}},
                               test::threads(threads));
    return std::pair{values, scales};
  };
  const auto one = run(1), four = run(4);
  EXPECT_EQ(one.first, four.first);
  EXPECT_TRUE(one.second.same(four.second));
}

TEST(SameSelection, ForEveryNumberOfThreads) {
  constexpr int kRows = 70, kColumns = 90;
  std::vector<float> numbers = normal_numbers(kHeads * kRows * kColumns, 5);
  for (float& value : numbers) value = std::abs(std::round(8 * value) / 8);  // with equal ones
  const HostView<const float, 3> scores{numbers.data(), {kHeads, kRows, kColumns}, {kRows * kColumns, kColumns, 1}};
  const auto bits = [](const BlockSelection& selection) {
    return std::vector<std::uint64_t>(selection.row(0, 0), selection.row(0, 0) + kHeads * kRows * selection.words_of_row());
  };
  const auto run = [&](int threads) {
    BlockSelection best(kHeads, kRows, kColumns), mass = best, all = best;
    select_rows(scores, {}, {RowRule::top_k(7)}, best, test::threads(threads));
    select_rows(scores, {}, {RowRule::top_p(0.6, Crossing::Included)}, mass, test::threads(threads));
    select_global(scores, {kRows * kColumns / 2}, all, test::threads(threads));
    return std::tuple{bits(best), bits(mass), bits(all), kept_mass_ratio(scores, mass, test::threads(threads))};
  };
  EXPECT_EQ(run(1), run(4));
}

}  // namespace
}  // namespace ditscope
