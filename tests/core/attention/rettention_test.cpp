#include <gtest/gtest.h>

#include "core/attention/registry.h"
#include "core/attention/session.h"
#include "core/attention/window_plan.h"
#include "tests/core/attention/calls.h"

namespace ditscope {
namespace {

using test::exact_attention;
using test::make_call;
using test::max_difference;
using test::small_video;

constexpr double kKept = 0.25;
constexpr int kSteps = 12;

MethodChoice choice(ParameterValues more = {}, const char* key = "re-ttention") {
  ParameterValues values{{"kept_ratio", kKept}, {"warmup_steps", std::int64_t{2}}, {"refresh_period", std::int64_t{4}}};
  for (auto& [name, value] : more) values[name] = value;
  return {key, values};
}

/// The formulas of the specification in float64, written a second time: what the method must give at every step.
class Transcription {
 public:
  Transcription(double lambda, bool clamp, bool use_rho, bool use_residual)
      : lambda_(lambda), clamp_(clamp), use_rho_(use_rho), use_residual_(use_residual) {}

  at::Tensor step(const LayerCall& call) {
    const at::Tensor keep = test::specified_window(call.layout, kKept);
    const auto [full, lse_full] = exact_attention(call);
    const auto [window, lse_window] = exact_attention(call, keep);
    if (call.step < 2) return full;
    if ((call.step - 2) % 4 == 0) {
      rho_ = use_rho_ ? at::exp(lse_window - lse_full) : at::ones_like(lse_full);
      residual_ = full - rho_.unsqueeze(-1) * window;
      return full;
    }
    at::Tensor rho = rho_;
    if (clamp_) rho = rho.clamp_max(1.0);
    at::Tensor out = rho.unsqueeze(-1) * window;
    if (use_residual_) out = out + residual_;
    if (use_rho_) rho_ = rho_ + lambda_;
    return out;
  }

 private:
  double lambda_;
  bool clamp_, use_rho_, use_residual_;
  at::Tensor rho_, residual_;
};

struct Variant {
  const char* name;
  ParameterValues parameters;
  Transcription transcription;
};

TEST(ReTtention, FollowsTheFormulasOfTheSpecificationAtEveryStep) {
  const Variant variants[] = {
      {"code", {}, {0.04, false, true, true}},
      {"paper's clamp", {{"clamp", true}, {"lambda", 0.2}}, {0.2, true, true, true}},
      {"no ramp", {{"lambda", 0.0}}, {0.0, false, true, true}},
      {"no residual", {{"use_residual", false}}, {0.04, false, true, false}},
      {"no rho", {{"use_rho", false}}, {0.04, false, false, true}},
      {"neither", {{"use_rho", false}, {"use_residual", false}}, {0.04, false, false, false}},
  };
  for (Variant variant : variants) {
    AttentionSession session(choice(variant.parameters), kSteps);
    for (int step = 0; step < kSteps; ++step) {
      const LayerCall call = make_call(small_video(), step, kSteps);
      EXPECT_LT(max_difference(session.attend(call), variant.transcription.step(call)), 1e-5) << variant.name << " step " << step;
    }
  }
}

TEST(ReTtention, IsDiTFastAttnWithoutRhoAndWindowWithoutEither) {
  AttentionSession rettention(choice({{"use_rho", false}}), kSteps), ditfastattn(choice({}, "ditfastattn"), kSteps);
  AttentionSession bare(choice({{"use_rho", false}, {"use_residual", false}}), kSteps), window(choice({}, "window"), kSteps);
  for (int step = 0; step < kSteps; ++step) {
    const LayerCall call = make_call(small_video(), step, kSteps);
    EXPECT_LT(max_difference(rettention.attend(call), ditfastattn.attend(call)), 1e-6);
    EXPECT_LT(max_difference(bare.attend(call), window.attend(call)), 1e-6);
  }
}

TEST(ReTtention, RefreshAndWarmUpStepsGiveFullAttention) {
  for (const char* key : {"re-ttention", "ditfastattn", "window"}) {
    AttentionSession session(choice({}, key), kSteps);
    for (int step = 0; step < kSteps; ++step) {
      const LayerCall call = make_call(small_video(), step, kSteps);
      const double difference = max_difference(session.attend(call), exact_attention(call).first);
      if (step < 2 || (step - 2) % 4 == 0)
        EXPECT_LT(difference, 1e-5) << key << " step " << step;
      else
        EXPECT_GT(difference, 1e-3) << key << " step " << step << " should have skipped something";
    }
  }
}

TEST(ReTtention, RowsWeighOnePlusLambdaForEverySparseStepAfterTheFirst) {
  AttentionSession session(choice({{"lambda", 0.05}}), kSteps);
  for (int step = 0; step < kSteps; ++step) {
    LayerCall call = make_call(small_video(), step, kSteps);
    call.v = at::ones_like(call.v);  // the output is then the total weight of a row
    const int k = (step - 2) % 4;    // k-th sparse step
    const double expected = step < 2 || k == 0 ? 1 : 1 + (k - 1) * 0.05;
    // rho at this step multiplies weights that sum to 1, and the residual carries the 1 - rho of the refresh
    EXPECT_LT(max_difference(session.attend(call), at::full_like(call.v, expected)), 2e-6) << "step " << step;
  }
}

TEST(ReTtention, SparseOutputIsTheLastFullOneAndTheDampedChangeOfTheWindow) {
  const double lambda = 0.04;
  AttentionSession session(choice(), kSteps);
  const at::Tensor keep = test::specified_window(small_video(), kKept);
  at::Tensor full, window, rho;
  for (int step = 0; step < 6; ++step) {
    const LayerCall call = make_call(small_video(), step, kSteps);
    const at::Tensor out = session.attend(call);
    const auto [now, lse_now] = exact_attention(call, keep);
    if (step == 2) {
      const auto [all, lse_all] = exact_attention(call);
      full = all;
      window = now;
      rho = at::exp(lse_now - lse_all).unsqueeze(-1);
    }
    if (step > 2) {
      const int k = step - 2;
      EXPECT_LT(max_difference(out, full + rho * (now - window) + (k - 1) * lambda * now), 1e-5) << "k = " << k;
    }
  }
}

TEST(ReTtention, PositionMajorTokensGiveTheSameOutput) {
  for (const char* key : {"re-ttention", "ditfastattn", "window", "full"}) {
    const MethodChoice method = std::string(key) == "full" ? MethodChoice{} : choice({}, key);
    AttentionSession frame(method, kSteps), position(method, kSteps);
    for (int step = 0; step < kSteps; ++step) {
      const LayerCall call = make_call(small_video(), step, kSteps);
      const at::Tensor moved = test::frame_major(position.attend(test::position_major(call)), call.layout);
      EXPECT_LT(max_difference(frame.attend(call), moved), 2e-6) << key << " step " << step;
    }
  }
}

TEST(ReTtention, OtherTypesAndAKeyMaskTakeThePathOfLibTorchAndAgree) {
  for (const char* key : {"re-ttention", "ditfastattn", "window"}) {
    AttentionSession single(choice({}, key), kSteps), twice(choice({}, key), kSteps), masked(choice({}, key), kSteps);
    AttentionSession half(choice({}, key), kSteps), brain(choice({}, key), kSteps);
    for (int step = 0; step < kSteps; ++step) {
      const LayerCall call = make_call(small_video(), step, kSteps);
      const at::Tensor expected = single.attend(call);
      EXPECT_LT(max_difference(twice.attend(make_call(small_video(), step, kSteps, 1, 2, 3, 16, at::kDouble)), expected), 1e-5);
      LayerCall all = call;
      all.key_mask = at::ones({2, call.q.size(2)}, at::kBool);
      EXPECT_LT(max_difference(masked.attend(all), expected), 1e-5) << key << " step " << step;
      const at::Tensor in_half = half.attend(make_call(small_video(), step, kSteps, 1, 2, 3, 16, at::kHalf));
      EXPECT_EQ(in_half.scalar_type(), at::kHalf);
      EXPECT_LT(max_difference(in_half, expected), 4e-3);
      const at::Tensor in_brain = brain.attend(make_call(small_video(), step, kSteps, 1, 2, 3, 16, at::kBFloat16));
      EXPECT_EQ(in_brain.scalar_type(), at::kBFloat16);
      EXPECT_LT(max_difference(in_brain, expected), 4e-2);
    }
  }
}

TEST(ReTtention, AKeyMaskHidesKeysFromWindowAndFullAttentionAlike) {
  AttentionSession session(choice(), kSteps);
  const at::Tensor keep = test::specified_window(small_video(), kKept);
  for (int step = 0; step < 4; ++step) {
    LayerCall call = make_call(small_video(), step, kSteps, 1, 1);
    call.key_mask = at::ones({1, call.q.size(2)}, at::kBool);
    call.key_mask.slice(1, 5, 11).fill_(false);  // padded text
    const at::Tensor allowed = call.key_mask[0].unsqueeze(0).expand({call.q.size(2), call.q.size(2)});
    const at::Tensor out = session.attend(call);
    if (step <= 2)
      EXPECT_LT(max_difference(out, exact_attention(call, allowed).first), 1e-5) << step;
    else
      EXPECT_TRUE(at::isfinite(out).all().item<bool>());
  }
}

TEST(ReTtention, AKeptRatioOfOneIsFullAttentionAtEveryStep) {
  for (const char* key : {"re-ttention", "ditfastattn", "window"}) {
    AttentionSession session(choice({{"kept_ratio", 1.0}}, key), kSteps);
    for (int step = 0; step < kSteps; ++step) {
      const LayerCall call = make_call(small_video(), step, kSteps);
      EXPECT_LT(max_difference(session.attend(call), exact_attention(call).first), 1e-5) << key << " step " << step;
    }
    EXPECT_EQ(session.kept_ratios().schedule_average, 1);
    EXPECT_EQ(session.bytes_held(), 0);
  }
}

TEST(ReTtention, RefreshesEverySoManyStepsOrAtThoseOfItsCode) {
  const auto kinds = [](const char* text, int steps) {
    const auto m = make_method(parse_method_choice(text), steps);
    std::string kinds;
    for (int step = 0; step < steps; ++step) {
      const LayerCall call = test::make_call(test::small_video(), step, steps);
      const BlockPlan plan = m->plan(call);
      m->execute(call, plan);
      kinds += plan.kind == StepKind::Full ? 'f' : plan.kind == StepKind::Refresh ? 'r' : 's';
    }
    return kinds;
  };
  EXPECT_EQ(kinds("re-ttention:warmup_steps=3,refresh_period=5", 15), "fffrssssrssssrs");
  EXPECT_EQ(kinds("re-ttention:warmup_steps=3,refresh_steps=5/10/15", 18), "fffrsrssssrssssrss") << "the first sparse step has nothing to reuse";
  EXPECT_EQ(kinds("re-ttention:warmup_steps=5,refresh_steps=5/10/15", 22).substr(15), "rssssss") << "never again after 15";
}

TEST(ReTtention, SessionsShareNothing) {
  const auto run = [](std::uint64_t seed) {
    AttentionSession session(choice(), kSteps);
    std::vector<at::Tensor> outs;
    for (int step = 0; step < kSteps; ++step) outs.push_back(session.attend(make_call(small_video(), step, kSteps, seed)));
    return at::stack(outs);
  };
  const at::Tensor first = run(1), other = run(2), again = run(1);
  EXPECT_TRUE(at::equal(first, again)) << "A, B, A must give the same bits";
  EXPECT_FALSE(at::equal(first, other));
}

TEST(ReTtention, ACopyOfASessionGoesOnFromWhereItWasTaken) {
  AttentionSession session(choice(), kSteps);
  for (int step = 0; step < 4; ++step) session.attend(make_call(small_video(), step, kSteps));
  const std::unique_ptr<AttentionSession> copy = session.fork();
  std::vector<at::Tensor> first, second;
  for (int step = 4; step < kSteps; ++step) first.push_back(session.attend(make_call(small_video(), step, kSteps)));
  for (int step = 4; step < kSteps; ++step) second.push_back(copy->attend(make_call(small_video(), step, kSteps)));
  EXPECT_TRUE(at::equal(at::stack(first), at::stack(second)));
}

TEST(ReTtention, GuidanceBranchesAndLayersRememberApart) {
  AttentionSession together(choice(), kSteps), apart(choice(), kSteps);
  for (int step = 0; step < kSteps; ++step) {
    for (int layer = 0; layer < 2; ++layer) {
      LayerCall both = make_call(small_video(), step, kSteps, 40 + layer);
      both.layer = layer;
      both.layers = 2;
      const at::Tensor expected = together.attend(both);
      for (const std::int64_t b : {1, 0}) {  // one call a branch, the conditional one first
        LayerCall one = both;
        for (at::Tensor* tensor : {&one.q, &one.k, &one.v}) *tensor = tensor->slice(0, b, b + 1);
        one.branches = {both.branches[static_cast<std::size_t>(b)]};
        EXPECT_TRUE(at::equal(apart.attend(one)[0], expected[b])) << "step " << step << " layer " << layer << " branch " << b;
      }
    }
  }
}

TEST(ReTtention, CountsWhatItRemembersInBytes) {
  const LayerCall call = make_call(small_video(), 2, kSteps);
  const std::int64_t rows = 2 * 3 * call.q.size(2);
  const std::pair<ParameterValues, std::int64_t> cases[] = {
      {{}, rows * (4 + 16 * 4)}, {{{"use_residual", false}}, rows * 4}, {{{"use_rho", false}}, rows * 16 * 4}};
  for (const auto& [parameters, expected] : cases) {
    const auto method = make_method(choice(parameters), kSteps);
    EXPECT_EQ(method->bytes_held(), 0);
    method->execute(call, method->plan(call));
    const BlockMask mask = window_mask(call.layout, kKept);
    EXPECT_EQ(method->bytes_held() - mask.bytes() - mask.complement().bytes() - 1, expected) << "1: why the window keeps what it keeps";
    EXPECT_EQ(method->estimate_bytes({.layers = 1, .batch = 2, .heads = 3, .tokens = call.q.size(2), .head_dim = 16}), expected);
  }
}

TEST(ReTtention, AStepThatRemembersNothingYetRefreshes) {
  const auto method = make_method(choice(), kSteps);
  const LayerCall call = make_call(small_video(), 5, kSteps);  // sparse by the schedule, but the session starts here
  EXPECT_EQ(method->plan(call).kind, StepKind::Refresh);
  method->execute(call, method->plan(call));
  EXPECT_EQ(method->plan(call).kind, StepKind::Sparse);
  const LayerCall larger = make_call(small_video(), 5, kSteps, 1, 3);
  EXPECT_EQ(method->plan(larger).kind, StepKind::Refresh) << "a batch element that has no state";
}

}  // namespace
}  // namespace ditscope
