#include "core/study/matching.h"

#include <gtest/gtest.h>

#include <cmath>

#include "core/study/plan.h"
#include "kernels/error.h"

namespace ditscope::study {
namespace {

double kept_parameter(const MethodChoice& choice) {
  return std::get<double>(choice.parameters.at("kept_ratio"));
}

TEST(Knob, OfAKeptRatioKeepsWhatIsFixed) {
  const auto knob = knob_of({"re-ttention", {{"warmup_steps", std::int64_t{4}}}});
  ASSERT_TRUE(knob);
  EXPECT_EQ(knob->parameter, "kept_ratio");
  EXPECT_NEAR(kept_parameter(knob->at(0)), 1.0 / 512, 1e-12);
  EXPECT_NEAR(kept_parameter(knob->at(1)), 1, 1e-12);
  EXPECT_EQ(std::get<std::int64_t>(knob->at(0.5).parameters.at("warmup_steps")), 4);
}

TEST(Knob, SwitchesOffWhatWouldKeepMoreThanAsked) {
  EXPECT_EQ(std::get<double>(knob_of({"rectified-spaattn", {}})->at(0).parameters.at("top_p")), 0);
  EXPECT_EQ(std::get<double>(knob_of({"svg2", {}})->at(0).parameters.at("least_ratio")), 0);
}

TEST(Knob, EveryStudiedMethodHasOneWhoseChoicesTheCatalogTakes) {
  for (const std::string& key : studied_methods()) {
    const auto knob = knob_of(common_schedule(key, 15));
    if (!knob) continue;
    for (const double position : {0.0, 0.4, 1.0}) EXPECT_NO_THROW(resolve(knob->at(position), 15)) << key;
  }
}

TEST(Knob, OfFullAttentionIsNone) { EXPECT_FALSE(knob_of({"full", {}})); }

TEST(Knob, OfAnUnknownMethodIsRefused) { EXPECT_THROW(knob_of({"nothing", {}}), Error); }

TEST(MatchRatios, FindsTheParameterOfASmoothPattern) {
  const auto knob = knob_of({"re-ttention", {}});
  int asked = 0;
  const auto matches = match_ratios(*knob, {0.5, 0.125}, [&](const MethodChoice& c) {
    ++asked;
    return std::pow(kept_parameter(c), 0.5);
  });
  EXPECT_TRUE(matches[0].reached);
  EXPECT_NEAR(matches[0].achieved, 0.5, 0.01);
  EXPECT_NEAR(kept_parameter(matches[1].choice), 1.0 / 64, 1e-3);
  EXPECT_LT(asked, 22) << "values serve all targets";
}

TEST(MatchRatios, SaysWhereBlocksCannotComeNear) {
  const auto knob = knob_of({"re-ttention", {}});
  const auto in_quarters = [](const MethodChoice& c) { return std::max(std::round(kept_parameter(c) * 4) / 4, 0.25); };
  const auto matches = match_ratios(*knob, {0.25, 0.125, 0.03}, in_quarters);
  EXPECT_TRUE(matches[0].reached);
  EXPECT_FALSE(matches[1].reached);
  EXPECT_FALSE(matches[2].reached);
  EXPECT_EQ(matches[2].achieved, 0.25) << "the nearest that was found";
}

TEST(MatchRatios, TriesEveryPositionOfAShortList) {
  const auto knob = knob_of({"sta", {}});
  ASSERT_FALSE(knob->positions.empty());
  int asked = 0;
  match_ratios(*knob, {0.5}, [&](const MethodChoice&) { return ++asked * 0.01; });
  EXPECT_EQ(asked, static_cast<int>(knob->positions.size()));
}

MethodMatches matched(const std::string& key) {
  const Knob knob = *knob_of(common_schedule(key, 15));
  return {key, match_ratios(knob, {0.125, 0.03125}, kept_parameter)};
}

TEST(Plan, HoldsTheGridTheFloorAndTheAblations) {
  Settings settings;
  settings.prompts = 10;
  const auto cells = cells_of(settings, {matched("re-ttention"), matched("minference")});
  const auto cell = [&](const std::string& id) {
    const auto found = std::find_if(cells.begin(), cells.end(), [&](const Cell& c) { return c.id == id; });
    return found == cells.end() ? Cell{} : *found;
  };
  EXPECT_EQ(cell("full").prompts, 10);
  EXPECT_TRUE(cell("full/another seed").whole);
  EXPECT_EQ(cell("re-ttention@0.03125").prompts, 10);
  EXPECT_EQ(cell("minference@0.125").prompts, settings.other_prompts);
  const Cell ablation = cell("re-ttention@0.03125/lambda=0");
  EXPECT_EQ(std::get<double>(ablation.choice.parameters.at("lambda")), 0);
  EXPECT_EQ(ablation.choice.parameters.at("kept_ratio"), cell("re-ttention@0.03125").choice.parameters.at("kept_ratio"));
}

TEST(Plan, RunsEveryPromptOfEveryCellOnceAndTheClaimsFirst) {
  Settings settings;
  settings.prompts = 10;
  const auto cells = cells_of(settings, {matched("minference"), matched("re-ttention")});
  const auto tasks = order_of(cells, settings);
  std::size_t expected = 0;
  for (const Cell& cell : cells) expected += static_cast<std::size_t>(cell.prompts);
  EXPECT_EQ(tasks.size(), expected);
  const auto first_of = [&](const std::string& method) {
    return std::find_if(tasks.begin(), tasks.end(), [&](const Task& t) { return t.cell->method == method; }) - tasks.begin();
  };
  EXPECT_EQ(tasks.front().cell->id, "full");
  EXPECT_LT(first_of("re-ttention"), first_of("minference"));
}

TEST(Plan, SharesTheWarmUpOfMethodsThatSearch) {
  EXPECT_EQ(std::get<std::int64_t>(common_schedule("re-ttention", 20).parameters.at("warmup_steps")), 6);
  EXPECT_EQ(std::get<std::string>(common_schedule("adaspa", 20).parameters.at("search_steps")), "6/12");
}

}  // namespace
}  // namespace ditscope::study
