#include "core/attention/session.h"

#include <ATen/Parallel.h>
#include <gtest/gtest.h>

#include <set>

#include "core/attention/registry.h"
#include "core/bridge/attention.h"
#include "kernels/error.h"
#include "tests/core/attention/calls.h"

namespace ditscope {
namespace {

using test::make_call;
using test::max_difference;
using test::small_video;

TEST(Registry, HasCodeForExactlyTheMethodsOfTheCatalog) {
  std::set<std::string> plans;
  std::vector<std::string> corrected;
  for (const CorrectionEntry& entry : corrections()) corrected.push_back(entry.key);
  EXPECT_EQ(registered_corrections(), corrected);
  for (const MethodEntry& entry : methods()) {
    EXPECT_NE(make_method({entry.key, {}}, 30), nullptr) << entry.key;
    if (entry.plan.empty()) continue;
    plans.insert(entry.plan);
    for (const std::string& correction : corrected) EXPECT_NE(make_method({entry.key + "+" + correction, {}}, 30), nullptr);
  }
  const std::vector<std::string> registered = registered_plans();
  EXPECT_EQ(std::set<std::string>(registered.begin(), registered.end()), plans);
  EXPECT_THROW(make_method({"full+delta", {}}, 30), Error);
  EXPECT_THROW(make_method({"window+nothing", {}}, 30), Error);
  EXPECT_THROW(make_method({"retention", {}}, 30), Error);
}

TEST(FullAttention, AgreesWithScaledDotProductAttention) {
  for (const std::int64_t width : {8, 64, 72, 88, 128}) {
    for (const std::int64_t frames : {1, 3}) {
      TokenLayout layout;
      layout.text_tokens = 5;
      layout.frames = frames;
      layout.rows = 7;
      layout.columns = 9;
      const LayerCall call = make_call(layout, 0, 1, 3, 2, 2, width);
      const at::Tensor expected = at::scaled_dot_product_attention(call.q, call.k, call.v, {}, 0.0, false, call.scale);
      EXPECT_LT(max_difference(AttentionSession({}, 1).attend(call), expected), 1e-5) << width;
      const LayerCall brain = make_call(layout, 0, 1, 3, 2, 2, width, at::kBFloat16);
      EXPECT_LT(max_difference(AttentionSession({}, 1).attend(brain), test::exact_attention(brain).first), 3e-2) << width;
    }
  }
}

TEST(FullAttention, HonoursAKeyMask) {
  LayerCall call = make_call(small_video(), 0, 1);
  call.key_mask = at::rand({2, call.q.size(2)}, at::detail::createCPUGenerator(5)) > 0.3;
  const at::Tensor bias = call.key_mask.unsqueeze(1).unsqueeze(1);
  const at::Tensor expected = at::scaled_dot_product_attention(call.q, call.k, call.v, bias, 0.0, false, call.scale);
  EXPECT_LT(max_difference(AttentionSession({}, 1).attend(call), expected), 1e-5);
}

TEST(FullAttention, GivesGradientsWhereTheyAreAskedFor) {
  LayerCall call = make_call(small_video(), 0, 1);
  call.q.requires_grad_(true);
  EXPECT_TRUE(AttentionSession({}, 1).attend(call).requires_grad());
}

TEST(AttentionSession, GivesTheSameBitsForEveryNumberOfThreads) {
  const int before = at::get_num_threads();
  TokenLayout layout = small_video();
  layout.rows = layout.columns = 12;  // large enough that threads are used at all
  const auto run = [&](int threads) {
    at::set_num_threads(threads);
    AttentionSession session({"re-ttention", {{"warmup_steps", std::int64_t{0}}, {"kept_ratio", 0.25}}}, 4);
    std::vector<at::Tensor> outs;
    for (int step = 0; step < 4; ++step) outs.push_back(session.attend(make_call(layout, step, 4)));
    return at::stack(outs);
  };
  const at::Tensor one = run(1), three = run(3);
  at::set_num_threads(before);
  EXPECT_TRUE(at::equal(one, three));
}

TEST(AttentionSession, RecordsKindKeptRatiosAndTimeOfEveryStep) {
  const int steps = 8, layers = 2;
  AttentionSession session(
      {"re-ttention", {{"kept_ratio", 0.25}, {"warmup_steps", std::int64_t{2}}, {"refresh_period", std::int64_t{3}}}}, steps);
  EXPECT_EQ(session.step_record(2).kind, StepKind::Refresh) << "before it ran: as planned";
  for (int step = 0; step < steps; ++step) {
    for (int layer = 0; layer < layers; ++layer) {
      LayerCall call = make_call(small_video(), step, steps, static_cast<std::uint64_t>(layer) + 1);
      call.layer = layer;
      call.layers = layers;
      session.attend(call);
    }
  }
  const double kept = test::specified_window(small_video(), 0.25).to(at::kDouble).mean().item<double>();
  const StepKind expected[] = {StepKind::Full,   StepKind::Full,    StepKind::Refresh, StepKind::Sparse,
                               StepKind::Sparse, StepKind::Refresh, StepKind::Sparse,  StepKind::Sparse};
  double sum = 0;
  for (int step = 0; step < steps; ++step) {
    const StepRecord record = session.step_record(step);
    EXPECT_EQ(record.index, step);
    EXPECT_EQ(record.kind, expected[step]) << step;
    EXPECT_GT(record.attention_seconds, 0);
    const double achieved = record.kind == StepKind::Full ? 1 : record.kind == StepKind::Refresh ? 1 + kept : kept;
    EXPECT_NEAR(record.kept_ratio_achieved, achieved, 1e-12) << step;
    EXPECT_NEAR(record.kept_ratio_requested,
                record.kind == StepKind::Full      ? 1
                : record.kind == StepKind::Refresh ? 1.25
                                                   : 0.25,
                1e-12);
    sum += achieved;
  }
  const KeptRatios ratios = session.kept_ratios();
  EXPECT_EQ(ratios.requested, 0.25);
  EXPECT_NEAR(ratios.achieved, kept, 1e-12);
  EXPECT_NEAR(ratios.schedule_average, sum / steps, 1e-12);
  EXPECT_NEAR(ratios.ceiling, steps / sum, 1e-12);
  EXPECT_GT(session.peak_bytes_held(), 0);
}

TEST(AttentionSession, HandsEveryCallToItsSink) {
  std::vector<LayerMeasure> measures;
  AttentionSession session(
      {"window", {{"kept_ratio", 0.25}, {"warmup_steps", std::int64_t{1}}, {"dense_layers", std::int64_t{1}}}}, 2,
      [&](const LayerMeasure& measure, const LayerCall& call, const BlockPlan& plan, const at::Tensor& out) {
        EXPECT_EQ(out.sizes(), call.q.sizes());
        EXPECT_EQ(plan.mask == nullptr, measure.kind == StepKind::Full);
        EXPECT_EQ(plan.selections.empty(), measure.kind == StepKind::Full);
        measures.push_back(measure);
      });
  for (int step = 0; step < 2; ++step) {
    for (int layer = 0; layer < 2; ++layer) {
      LayerCall call = make_call(small_video(), step, 2);
      call.layer = layer;
      call.layers = 2;
      session.attend(call);
    }
  }
  ASSERT_EQ(measures.size(), 4u);
  EXPECT_EQ(measures[2].kind, StepKind::Full) << "the first layer is dense";
  EXPECT_EQ(measures[3].layer, 1);
}

TEST(AttentionSession, RefusesCallsWhoseShapesAndLayoutDisagree) {
  AttentionSession session({}, 1);
  LayerCall call = make_call(small_video(), 0, 1);
  call.layout.rows += 1;
  EXPECT_THROW(session.attend(call), Error);
  call = make_call(small_video(), 0, 1);
  call.k = call.k.slice(2, 1);
  EXPECT_THROW(session.attend(call), Error);
  call = make_call(small_video(), 0, 1);
  call.branches.pop_back();
  EXPECT_THROW(session.attend(call), Error);
}

}  // namespace
}  // namespace ditscope
