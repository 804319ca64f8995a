// What every method of the catalog owes, on random small grids; a method that is added is held to it without a line here.
#include <gtest/gtest.h>

#include <algorithm>
#include <random>
#include <set>

#include "core/attention/registry.h"
#include "core/attention/session.h"
#include "kernels/error.h"
#include "tests/core/attention/calls.h"

namespace ditscope {
namespace {

using test::exact_attention;
using test::make_call;
using test::max_difference;

constexpr int kSteps = 5;

/// Grids that blocks and tiles seldom divide, images and empty text among them.
std::vector<TokenLayout> some_grids() {
  std::mt19937 random(20);
  const auto draw = [&](int least, int most) { return std::uniform_int_distribution<std::int64_t>(least, most)(random); };
  std::vector<TokenLayout> grids;
  for (int i = 0; i < 4; ++i) {
    TokenLayout layout;
    layout.frames = i == 0 ? 1 : draw(2, 4);
    layout.rows = draw(3, 9);
    layout.columns = draw(3, 11);
    layout.text_tokens = i == 1 ? 0 : draw(1, 9);
    layout.text_first = i % 2 == 0;
    grids.push_back(layout);
  }
  return grids;
}

/// Sparse from step 1 on, where the method has a warm-up or a search.
MethodChoice early(const std::string& key) {
  MethodChoice choice{key, {}};
  for (const Parameter& parameter : find_method(key).parameters) {
    if (parameter.key == "warmup_steps") choice.parameters["warmup_steps"] = std::int64_t{1};
    if (parameter.key == "refresh_period") choice.parameters["refresh_period"] = std::int64_t{parameter.minimum < 1 ? 0 : 4};
    if (parameter.key == "search_steps") choice.parameters["search_steps"] = std::string("1");
  }
  return choice;
}

/// The method without what makes up for skipped pairs, all knobs of its plan turned to one end.
MethodChoice turned(const MethodEntry& entry, bool keep_all) {
  const std::set<std::string> most_at_top{"kept_ratio", "top_p",   "threshold",   "cdf",
                                          "least_ratio", "decay", "window_frames", "window_rows", "window_columns"};
  MethodChoice choice = early(entry.plan.empty() ? entry.key : entry.key + "+none");
  for (const Parameter& p : find_method(choice.key).parameters) {
    const bool integer = p.kind == ParameterKind::Integer;
    if (most_at_top.count(p.key) > 0) {
      const double value = keep_all ? p.maximum : p.minimum;
      if (integer)
        choice.parameters[p.key] = static_cast<std::int64_t>(value);
      else
        choice.parameters[p.key] = value;
    }
    if (p.key == "similarity") choice.parameters[p.key] = -1.0;  // every block is good
    if (p.key == "texture_period" && keep_all) choice.parameters[p.key] = std::int64_t{1};
    if (p.key == "recall_threshold" && keep_all) choice.parameters[p.key] = 1.0;  // every head is textural
    if (p.key == "bandwidth") choice.parameters[p.key] = std::string(keep_all ? "1/2" : "1/8");
  }
  return choice;
}

TEST(EveryMethod, IsFullAttentionWhereItKeepsEverything) {
  const std::set<std::string> may_skip_on{"radial"};  // thinning knows no end that keeps all
  for (const MethodEntry& entry : methods()) {
    bool all = true;
    for (const TokenLayout& layout : some_grids()) {
      AttentionSession session(turned(entry, true), kSteps, [&](const LayerMeasure& m, const LayerCall& call, const BlockPlan&, const at::Tensor& out) {
        all = all && m.kept_ratio_achieved > 1 - 1e-9;
        if (m.kept_ratio_achieved > 1 - 1e-9) {
          EXPECT_LT(max_difference(out, exact_attention(call).first), 1e-5) << entry.key << " step " << m.step;
        }
      });
      for (int step = 0; step < 3; ++step) session.attend(make_call(layout, step, kSteps, 2, 2, 2, 8));
    }
    EXPECT_TRUE(all || may_skip_on.count(entry.key) > 0) << entry.key << " keeps everything when it is told to";
  }
}

TEST(EveryMethod, IsAMeanOfValuesHoweverLittleItKeeps) {
  for (const MethodEntry& entry : methods()) {
    if (entry.plan.empty()) continue;
    for (const TokenLayout& layout : some_grids()) {
      AttentionSession session(turned(entry, false), kSteps);
      for (int step = 0; step < 3; ++step) {
        const LayerCall call = make_call(layout, step, kSteps, 3, 2, 2, 8);
        const at::Tensor out = session.attend(call);
        ASSERT_TRUE(at::isfinite(out).all().item<bool>()) << entry.key;
        // Each channel lies between the least and the largest value; a row that keeps nothing is 0.
        const at::Tensor high = call.v.amax(2, true).clamp_min(0) + 1e-5, low = call.v.amin(2, true).clamp_max(0) - 1e-5;
        EXPECT_TRUE(out.le(high).logical_and(out.ge(low)).all().item<bool>()) << entry.key << " step " << step;
      }
    }
  }
}

TEST(EveryMethod, GivesTheSameBitsAfterAnyOtherRun) {
  const std::vector<TokenLayout> grids = some_grids();
  for (const MethodEntry& entry : methods()) {
    const MethodChoice choice = early(entry.key);
    const auto run = [&](AttentionSession& session, const TokenLayout& layout, std::uint64_t seed, std::int64_t batch) {
      std::vector<at::Tensor> outs;
      for (int step = 0; step < kSteps; ++step) outs.push_back(session.attend(make_call(layout, step, kSteps, seed, batch, 2, 8)));
      return at::stack(outs);
    };
    const auto alone = [&](const TokenLayout& layout, std::uint64_t seed, std::int64_t batch) {
      AttentionSession session(choice, kSteps);
      return run(session, layout, seed, batch);
    };
    const at::Tensor first = alone(grids[2], 1, 2);
    alone(grids[2], 5, 2);  // another seed or prompt
    alone(grids[0], 1, 2);  // another size: an image
    alone(grids[2], 1, 1);  // without guidance
    EXPECT_TRUE(at::equal(first, alone(grids[2], 1, 2))) << entry.key;
    AttentionSession session(choice, kSteps);  // and a session whose calls change their grid under way
    run(session, grids[3], 4, 2);
    EXPECT_TRUE(at::isfinite(run(session, grids[2], 1, 2)).all().item<bool>()) << entry.key;
  }
}

TEST(EveryMethod, IsFullWhereTheScheduleLeavesNothingElse) {
  for (const MethodEntry& entry : methods()) {
    for (const Parameter& p : entry.parameters) {
      if (p.key != "warmup_steps" && p.key != "dense_layers" && p.key != "search_steps") continue;
      MethodChoice choice = early(entry.key);
      if (p.key == "search_steps")
        choice.parameters[p.key] = std::string("9/10");  // past the end
      else
        choice.parameters[p.key] = static_cast<std::int64_t>(std::min(p.maximum, 60.0));
      AttentionSession session(choice, kSteps);
      for (int step = 0; step < 3; ++step) {
        const LayerCall call = make_call(some_grids()[2], step, kSteps, 6, 2, 2, 8);
        EXPECT_LT(max_difference(session.attend(call), exact_attention(call).first), 1e-5) << entry.key << " " << p.key << " step " << step;
        EXPECT_EQ(session.step_record(step).kind, StepKind::Full) << entry.key << " " << p.key;
      }
    }
  }
}

TEST(EveryMethod, RefusesSchedulesThatContradictThemselves) {
  int refused = 0;
  for (const MethodEntry& entry : methods()) {
    for (const Parameter& p : entry.parameters) {
      std::vector<ParameterValue> wrong;
      if (p.key == "search_steps" || p.key == "refresh_steps") wrong = {std::string("30/10"), std::string("10/50%"), std::string("")};
      if (p.key == "warmup_steps" || p.key == "dense_layers") wrong = {std::int64_t{-1}, 1.5};
      if (p.key == "refresh_period") wrong = {std::int64_t{-1}};
      if (p.key == "pv_skip") wrong = {20.0};  // without qk=int8
      for (const ParameterValue& value : wrong) {
        try {
          make_method({entry.key, {{p.key, value}}}, kSteps);
          ADD_FAILURE() << entry.key << " " << p.key;
        } catch (const Error& error) {
          EXPECT_EQ(error.kind(), ErrorKind::InvalidArgument) << error.what();
          EXPECT_NE(std::string(error.what()).find("expected"), std::string::npos) << error.what();
          ++refused;
        }
      }
    }
  }
  EXPECT_GT(refused, 30);
}

TEST(EveryMethod, EstimatesAtLeastWhatItsResidualsHold) {
  for (const MethodEntry& entry : methods()) {
    const auto method = make_method(early(entry.key), kSteps);
    std::int64_t most = 0, masks = 0;
    const TokenLayout layout = some_grids()[2];
    for (int step = 0; step < 3; ++step) {
      const LayerCall call = make_call(layout, step, kSteps, 1, 2, 2, 8);
      const BlockPlan plan = method->plan(call);
      for (const auto& selection : plan.selections) masks = std::max(masks, 4 * selection->bytes());
      method->execute(call, plan);
      most = std::max(most, method->bytes_held());
    }
    const MethodSizes sizes{.layers = 1, .batch = 2, .heads = 2, .tokens = layout.tokens(), .head_dim = 8};
    EXPECT_GE(method->estimate_bytes(sizes) + masks, most) << entry.key;
  }
}

}  // namespace
}  // namespace ditscope
