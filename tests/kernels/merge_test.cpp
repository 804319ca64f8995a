#include "kernels/merge.h"

#include <gtest/gtest.h>

#include "kernels/error.h"
#include "tests/kernels/attention_case.h"

namespace ditscope {
namespace {

/// Attention over keys 0..cut-1 and cut.. , merged, is attention over all.
template <typename Element>
void check(int width, int cut, bool token_major, double tolerance) {
  const int heads = 2, queries = 70, keys = 90;
  test::AttentionCase<Element> full(heads, queries, keys, width, 3, token_major), a = full, b = full;
  const auto everything = full.expected([](int, int, int) { return true; });
  const auto part_mask = [&](TokenSpan span) {
    MaskDescription d;
    d.queries = queries;
    d.keys = keys;
    d.always = span;
    return BlockMask(d);
  };
  const BlockMask before = part_mask({0, cut}), after = part_mask({cut, keys});
  block_sparse_attention(a.arguments(&before));
  block_sparse_attention(b.arguments(&after));
  if (cut == 0) {
    for (int i = 0; i < queries; ++i) a.out.at(1, i, 0) = test::from_float<Element>(NAN);  // weighs nothing
  }
  MergeArguments<Element> m;
  m.out_a = a.out.const_view();
  m.out_b = b.out.const_view();
  m.log_sum_exp_a = {a.log_sum_exp.data(), {heads, queries}, {queries, 1}};
  m.log_sum_exp_b = {b.log_sum_exp.data(), {heads, queries}, {queries, 1}};
  m.out = a.out.view();
  m.log_sum_exp = {a.log_sum_exp.data(), {heads, queries}, {queries, 1}};
  merge_attention(m, test::threads(2));
  EXPECT_LT(test::relative_error(a.out.doubles(), everything.out), tolerance);
  for (std::size_t i = 0; i < everything.log_sum_exp.size(); ++i)
    ASSERT_NEAR(a.log_sum_exp[i], everything.log_sum_exp[i], tolerance);
}

TEST(Merge, OfTwoPartsIsAttentionOverBoth) {
  for (const int width : {1, 8, 72, 256}) {
    for (const int cut : {0, 1, 33, 90}) {
      check<float>(width, cut, width == 72, 1e-5);
      check<Bfloat16Bits>(width, cut, width == 72, 1e-2);
    }
  }
}

TEST(Merge, OfTwoEmptyPartsIsZero) {
  std::vector<float> a(4, NAN), b(4, 3.0f), out(4, 777.0f), lse(1, 777.0f);
  const std::vector<float> nothing(1, -std::numeric_limits<float>::infinity());
  MergeArguments<float> m;
  m.out_a = {a.data(), {1, 1, 4}, {4, 4, 1}};
  m.out_b = {b.data(), {1, 1, 4}, {4, 4, 1}};
  m.log_sum_exp_a = m.log_sum_exp_b = {nothing.data(), {1, 1}, {1, 1}};
  m.out = {out.data(), {1, 1, 4}, {4, 4, 1}};
  m.log_sum_exp = {lse.data(), {1, 1}, {1, 1}};
  merge_attention(m);
  EXPECT_EQ(out, std::vector<float>(4, 0.0f));
  EXPECT_EQ(lse[0], nothing[0]);
}

TEST(Merge, RefusesPartsOfOtherShapes) {
  std::vector<float> data(8);
  MergeArguments<float> m;
  m.out_a = {data.data(), {1, 2, 4}, {8, 4, 1}};
  m.out_b = {data.data(), {1, 1, 4}, {4, 4, 1}};
  m.log_sum_exp_a = m.log_sum_exp_b = {data.data(), {1, 2}, {2, 1}};
  m.out = {data.data(), {1, 2, 4}, {8, 4, 1}};
  try {
    merge_attention(m);
    FAIL() << "expected a refusal";
  } catch (const Error& error) {
    EXPECT_NE(std::string(error.what()).find("expected out_b of (1,2,4), got (1,1,4)"), std::string::npos);
  }
}

}  // namespace
}  // namespace ditscope
