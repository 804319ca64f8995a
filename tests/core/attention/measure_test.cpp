#include "core/attention/measure.h"

#include <gtest/gtest.h>

#include "core/attention/registry.h"
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
  const AttentionStats stats = measure(call, plan, out, 1 << 20);  // every row
  ASSERT_EQ(stats.rows, call.q.size(2));
  for (int h = 0; h < 6; ++h) {
    EXPECT_NEAR(stats.recall[h], expected[h].item<double>(), 1e-5);
    EXPECT_NEAR(stats.output_error[h], error[h].item<double>(), 1e-4);
    EXPECT_NEAR(stats.log_sum_exp[h], lse.mean(-1).flatten()[h].item<double>(), 1e-4);
  }
  EXPECT_LT(stats.mean_recall(), 0.9);
}

}  // namespace
}  // namespace ditscope
