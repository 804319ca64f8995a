#include "core/attention/measure.h"

#include <gtest/gtest.h>

#include "core/attention/registry.h"
#include "core/attention/session.h"
#include "core/attention/window_plan.h"
#include "tests/core/attention/calls.h"

namespace ditscope {
namespace {

TEST(Measure, FullAttentionRecallsEverythingWithoutError) {
  const LayerCall call = test::make_call(test::small_video(), 0, 1);
  const auto method = make_method({"full", {}}, 1);
  const BlockPlan plan = method->plan(call);
  const AttentionStats stats = measure(call, plan, method->execute(call, plan), 40);
  EXPECT_EQ(stats.rows, 40);
  ASSERT_EQ(stats.recall.size(), 6u);
  EXPECT_EQ(stats.mean_recall(), 1);
  EXPECT_LT(stats.mean_output_error(), 1e-5);
}

TEST(Measure, AWindowRecallsTheShareOfProbabilityThatItKeeps) {
  const LayerCall call = test::make_call(test::small_video(), 3, 4);
  const auto method =
      make_method({"window", {{"kept_ratio", 0.25}, {"warmup_steps", std::int64_t{0}}, {"refresh_period", std::int64_t{0}}}}, 4);
  const BlockPlan plan = method->plan(call);
  const at::Tensor out = method->execute(call, plan);
  const at::Tensor keep = test::specified_window(call.layout, 0.25);
  const at::Tensor logits = at::matmul(call.q.to(at::kDouble), call.k.to(at::kDouble).transpose(-1, -2)) * call.scale;
  const at::Tensor expected = (at::softmax(logits, -1) * keep).sum(-1).mean(-1).flatten();  // (B*H)
  const auto [full, lse] = test::exact_attention(call);
  const at::Tensor error = ((out - full).flatten(2).norm(2, 2) / full.flatten(2).norm(2, 2)).flatten();
  const at::Tensor l1 = ((out - full).abs().sum({2, 3}) / full.abs().sum({2, 3})).flatten();  // (B*H)
  const at::Tensor wide = out.to(at::kDouble);
  const at::Tensor cosine = (1 - (wide * full).sum(-1) / (wide.norm(2, {-1}) * full.norm(2, {-1}))).mean(-1).flatten();
  double touched = 0;
  for (std::int64_t m = 0; m < 131; m += 64)
    for (std::int64_t n = 0; n < 131; n += 64) touched += keep.slice(0, m, m + 64).slice(1, n, n + 64).any().item<bool>();
  EXPECT_NEAR(plan.achieved, keep.to(at::kDouble).mean().item<double>(), 1e-12);
  EXPECT_NEAR(plan.achieved_blocks, touched / 9, 1e-12);
  const AttentionStats stats = measure(call, plan, out, 1 << 20);  // every row
  ASSERT_EQ(stats.rows, call.q.size(2));
  for (int h = 0; h < 6; ++h) {
    EXPECT_NEAR(stats.recall[h], expected[h].item<double>(), 1e-5);
    EXPECT_NEAR(stats.output_error[h], error[h].item<double>(), 1e-4);
    EXPECT_NEAR(stats.log_sum_exp[h], lse.mean(-1).flatten()[h].item<double>(), 1e-4);
    EXPECT_NEAR(stats.relative_l1[h], l1[h].item<double>(), 1e-4);
    EXPECT_NEAR(stats.cosine_error[h], cosine[h].item<double>(), 1e-4);
  }
  EXPECT_LT(stats.mean_recall(), 0.9);
}

TEST(Measure, RhoAndWeightOfARowAreThoseOfTheEquationsAndTimesAddUp) {
  const MethodChoice choice{"re-ttention", {{"kept_ratio", 0.25}, {"warmup_steps", std::int64_t{0}}, {"lambda", 0.05}}};
  at::Tensor rho;  // (B,H,T) of the refresh, float64
  AttentionSession session(choice, 4, [&](const LayerMeasure& m, const LayerCall& call, const BlockPlan& plan, const at::Tensor&) {
    const at::Tensor keep = test::specified_window(call.layout, 0.25);
    if (m.step == 0) rho = at::exp(test::exact_attention(call, keep).second - test::exact_attention(call).second);
    EXPECT_GT(m.method->correct_seconds(), 0);
    EXPECT_LE(m.plan_seconds + m.method->correct_seconds(), m.seconds);
    EXPECT_GE(m.method_bytes, 2 * 3 * 131 * (4 + 16 * 4)) << "rho and R";
    if (m.step == 0) return;
    ASSERT_EQ(plan.kind, StepKind::Sparse);
    for (std::int64_t b = 0; b < 2; ++b) {
      const RowCorrection rows = m.method->row_correction(call, b);
      EXPECT_LT(test::max_difference(rows.scale, rho[b] + 0.05 * (m.step - 1)), 1e-5);
      EXPECT_LT(test::max_difference(rows.mass, at::full_like(rho[b], 1 + 0.05 * (m.step - 1))), 1e-5);
    }
  });
  for (int step = 0; step < 3; ++step) session.attend(test::make_call(test::small_video(), step, 4));
}

}  // namespace
}  // namespace ditscope
