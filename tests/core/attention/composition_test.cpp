#include <gtest/gtest.h>

#include <cmath>

#include "core/attention/registry.h"
#include "core/attention/session.h"
#include "tests/core/attention/calls.h"

namespace ditscope {
namespace {

using test::exact_attention;
using test::make_call;
using test::max_difference;

constexpr int kSteps = 7;

/// Enough blocks to skip some; visual and text tokens fill their last blocks in no method's order.
TokenLayout video() {
  TokenLayout layout;
  layout.text_tokens = 11;
  layout.frames = 4;
  layout.rows = 9;
  layout.columns = 10;
  return layout;
}

/// Every plan with every correction.
std::vector<std::string> compositions() {
  std::vector<std::string> keys;
  for (const MethodEntry& method : methods()) {
    if (method.plan.empty()) continue;
    for (const CorrectionEntry& correction : corrections()) keys.push_back(method.key + "+" + correction.key);
  }
  return keys;
}

/// Every plan by itself, with the correction it comes with, and with one that holds its selections.
std::vector<std::string> plans() {
  std::vector<std::string> keys;
  for (const MethodEntry& method : methods()) {
    if (method.plan.empty()) continue;
    keys.push_back(method.key);
    if (method.correction == "none") keys.push_back(method.key + "+re-ttention");
  }
  return keys;
}

MethodChoice early(const std::string& key) {
  MethodChoice choice{key, {}};
  for (const Parameter& parameter : find_method(key).parameters) {
    if (parameter.key == "warmup_steps") choice.parameters["warmup_steps"] = std::int64_t{1};
    if (parameter.key == "refresh_period") choice.parameters["refresh_period"] = std::int64_t{4};
    if (parameter.key == "search_steps") choice.parameters["search_steps"] = std::string("1/5");
    if (parameter.key == "second_level") choice.parameters["second_level"] = false;  // QuantSparse's has a test of its own
  }
  return choice;
}

at::Tensor kept_of(const BlockPlan& plan, std::int64_t b, std::int64_t heads, std::int64_t tokens) {  // (H,T,T)
  std::vector<std::int64_t> rows(static_cast<std::size_t>(tokens));
  for (std::int64_t r = 0; r < tokens; ++r) rows[static_cast<std::size_t>(r)] = r;
  return plan.selections[static_cast<std::size_t>(b)]->kept_tokens(heads, rows).expand({heads, tokens, tokens});
}

TEST(Composition, SparseStepsAreSoftmaxOverTheKeptPairsCorrected) {
  for (const std::string& key : compositions()) {
    const auto method = make_method(early(key), kSteps);
    const std::string correction = find_method(key).correction;
    at::Tensor rho, residual;  // (B,H,T), (B,H,T,D) of the last refresh
    int since_refresh = 0, sparse = 0;
    for (int step = 0; step < kSteps; ++step) {
      const LayerCall call = make_call(video(), step, kSteps);
      const std::int64_t heads = call.q.size(1), tokens = call.q.size(2);
      const BlockPlan plan = method->plan(call);
      const at::Tensor out = method->execute(call, plan);
      const auto [full, lse] = exact_attention(call);
      if (plan.kind == StepKind::Full || !plan.attended.empty()) {
        EXPECT_LT(max_difference(out, full), 2e-5) << key << " step " << step;
        continue;
      }
      const at::Tensor kept = at::stack({kept_of(plan, 0, heads, tokens), kept_of(plan, 1, heads, tokens)});  // (B,H,T,T)
      const double ratio = kept.to(at::kDouble).mean().item<double>();
      double selected = 0;
      for (const auto& selection : plan.selections) selected += selection->kept_ratio() / 2;
      EXPECT_NEAR(selected, ratio, 1e-9) << key << ": the kept ratio is that of the pairs of tokens";
      const at::Tensor logits =
          (at::matmul(call.q.to(at::kDouble), call.k.to(at::kDouble).transpose(2, 3)) * call.scale).masked_fill(kept.logical_not(), -INFINITY);
      const at::Tensor some = kept.any(-1, true);
      const at::Tensor over = at::where(some, at::matmul(at::softmax(logits, -1).nan_to_num(0), call.v.to(at::kDouble)), at::zeros({1}, at::kDouble));
      if (plan.kind == StepKind::Refresh) {
        EXPECT_LT(max_difference(out, full), 2e-5) << key << " step " << step;
        rho = correction == "re-ttention" ? at::exp(at::logsumexp(logits, -1) - lse) : at::ones_like(lse);
        residual = full - rho.unsqueeze(-1) * over;
        since_refresh = 0;
        continue;
      }
      ++sparse;
      at::Tensor expected = over;
      if (correction == "re-ttention") expected = (rho + 0.04 * since_refresh++).unsqueeze(-1) * over + residual;
      if (correction == "window-residual" || correction == "two-level-residual") expected = over + residual;
      if (correction == "none" || correction == "re-ttention" || correction == "window-residual") {
        EXPECT_LT(max_difference(out, expected), 5e-5) << key << " step " << step;
      } else {
        EXPECT_TRUE(at::isfinite(out).all().item<bool>()) << key << " step " << step;
      }
      const RowCorrection rows = method->row_correction(call, 1);
      EXPECT_EQ(rows.residual.defined(), correction == "re-ttention" || correction == "window-residual" || correction == "two-level-residual" || correction == "rectified" ||
                                             correction == "anchored") << key;
      if (rows.residual.defined()) {
        EXPECT_EQ(rows.residual.sizes(), call.q[1].sizes()) << key << ": by token";
      }
    }
    EXPECT_GT(sparse, 1) << key;
  }
}

TEST(Composition, ARunAfterAnotherGivesTheBitsOfTheFirst) {
  for (const std::string& key : plans()) {
    const auto run = [&](std::uint64_t seed) {
      AttentionSession session(early(key), kSteps);
      std::vector<at::Tensor> outs;
      for (int step = 0; step < kSteps; ++step) outs.push_back(session.attend(make_call(video(), step, kSteps, seed)));
      return at::stack(outs);
    };
    const at::Tensor first = run(1);
    run(2);
    EXPECT_TRUE(at::equal(first, run(1))) << key;
  }
}

TEST(Composition, ACloneGoesOnAsItsOriginalAndLeavesNoTraceInIt) {
  for (const std::string& key : plans()) {
    const auto method = make_method(early(key), kSteps), alone = make_method(early(key), kSteps);
    const auto step_of = [&](Method& m, int step, std::uint64_t seed = 1) {
      const LayerCall call = make_call(video(), step, kSteps, seed);
      return m.execute(call, m.plan(call));
    };
    for (int step = 0; step < 4; ++step) {
      step_of(*method, step);
      step_of(*alone, step);
    }
    const auto copy = method->clone();
    for (int step = 4; step < kSteps; ++step) step_of(*copy, step, 9);
    for (int step = 4; step < kSteps; ++step) EXPECT_TRUE(at::equal(step_of(*method, step), step_of(*alone, step))) << key << " " << step;
  }
}

TEST(Composition, BatchedGuidanceAndOneCallABranchGiveTheSameBits) {
  for (const std::string& key : plans()) {
    AttentionSession together(early(key), kSteps), apart(early(key), kSteps);
    for (int step = 0; step < 4; ++step) {
      const LayerCall both = make_call(video(), step, kSteps);
      const at::Tensor expected = together.attend(both);
      for (const std::int64_t b : {1, 0}) {
        LayerCall one = both;
        for (at::Tensor* tensor : {&one.q, &one.k, &one.v}) *tensor = tensor->slice(0, b, b + 1);
        one.branches = {both.branches[static_cast<std::size_t>(b)]};
        EXPECT_TRUE(at::equal(apart.attend(one)[0], expected[b])) << key << " step " << step << " branch " << b;
      }
    }
  }
}

TEST(Composition, AnyGridGivesADefinedResult) {
  for (const std::string& key : compositions()) {
    for (const auto& [frames, rows, columns, text] : {std::tuple{1, 1, 1, 0}, {1, 7, 5, 0}, {1, 1, 1, 3}, {3, 1, 70, 1}, {2, 9, 9, 70}}) {
      TokenLayout layout;
      layout.frames = frames;
      layout.rows = rows;
      layout.columns = columns;
      layout.text_tokens = text;
      layout.text_first = text % 2 == 1;
      AttentionSession session(early(key), 4);
      for (int step = 0; step < 4; ++step) {
        const at::Tensor out = session.attend(make_call(layout, step, 4));
        ASSERT_TRUE(at::isfinite(out).all().item<bool>()) << key << " " << frames << "x" << rows << "x" << columns << "+" << text;
      }
    }
  }
}

TEST(Composition, PositionMajorTokensGiveTheSameOutput) {
  for (const std::string& key : compositions()) {
    const std::string& plan = find_method(key).plan;
    if (find_method(key).correction == "delta" && plan == "window") continue;  // its dense rows follow the order
    if (plan == "minference" || plan == "spargeattn" || plan == "xattention" || plan == "svg2") continue;  // so do their blocks and seeds
    const bool pairs = plan == "window" || plan == "svg" || plan == "paroattention" || plan == "rainfusion1";
    if (find_method(key).correction == "anchored" || plan == "ditscope-auto") continue;  // groups lie in the order of the call
    if (find_method(key).correction == "rectified" && pairs) continue;  // pools what the order lays side by side
    AttentionSession frame(early(key), kSteps), position(early(key), kSteps);
    for (int step = 0; step < 4; ++step) {
      const LayerCall call = make_call(video(), step, kSteps);
      const at::Tensor moved = test::frame_major(position.attend(test::position_major(call)), call.layout);
      EXPECT_LT(max_difference(frame.attend(call), moved), 5e-5) << key << " step " << step;
    }
  }
}

TEST(Delta, DenseRowsAreExactAndMoveTheRowsAfterThem) {
  for (const auto& [rows_only, with_tail] : {std::pair{false, false}, std::pair{true, false}, std::pair{false, true}, std::pair{true, true}}) {
    const LayerCall call = make_call(video(), 3, kSteps, 4, 1);
    ParameterValues parameters{{"warmup_steps", std::int64_t{0}}, {"refresh_period", std::int64_t{0}}, {"kept_ratio", 0.2}};
    const at::Tensor plain = AttentionSession({"window", parameters}, kSteps).attend(call);
    parameters["delta_stride"] = std::int64_t{16};
    parameters["delta_rows_only"] = rows_only;
    parameters["delta_tail"] = with_tail;
    const at::Tensor out = AttentionSession({"window+delta", parameters}, kSteps).attend(call);
    const auto [full, lse] = exact_attention(call);
    const std::int64_t tokens = call.q.size(2), tail = with_tail ? tokens - (tokens % 16 + 128) : tokens;
    ASSERT_GT(tail, 16);
    for (std::int64_t t = 0; t < tokens; ++t) {
      const std::int64_t dense = t < tail ? t / 16 * 16 : t;
      at::Tensor expected = plain.select(2, t).to(at::kDouble);
      if (!rows_only || t == dense) expected = expected + full.select(2, dense) - plain.select(2, dense).to(at::kDouble);
      ASSERT_LT(max_difference(out.select(2, t), expected), 1e-5) << t;
    }
  }
}

}  // namespace
}  // namespace ditscope
