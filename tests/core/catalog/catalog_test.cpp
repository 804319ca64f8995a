#include "core/catalog/catalog.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>

#include "kernels/error.h"

namespace ditscope {
namespace {

ErrorKind kind_of(const std::function<void()>& action, std::string* message = nullptr) {
  try {
    action();
  } catch (const Error& error) {
    if (message) *message = error.what();
    return error.kind();
  }
  ADD_FAILURE() << "no error was thrown";
  return ErrorKind::Cancelled;
}

TEST(Catalog, EveryEntryIsDescribedWellEnoughToDrawItsControls) {
  std::set<std::string> keys;
  for (const MethodEntry& method : methods()) {
    EXPECT_TRUE(keys.insert(method.key).second) << method.key;
    EXPECT_FALSE(method.name.empty() || method.summary.empty()) << method.key;
    std::set<std::string> parameter_keys;
    for (const Parameter& p : method.parameters) {
      EXPECT_TRUE(parameter_keys.insert(p.key).second) << p.key;
      EXPECT_FALSE(p.label.empty() || p.help.empty() || p.formula.empty() || p.source.empty()) << method.key << "." << p.key;
      if (p.kind == ParameterKind::Switch) {
        EXPECT_FALSE(p.on_label.empty() || p.off_label.empty()) << p.key;
      } else {
        EXPECT_LT(p.minimum, p.maximum) << p.key;
      }
      EXPECT_NO_THROW(resolve({method.key, {{p.key, p.default_value}}})) << "a default out of its own range: " << p.key;
    }
  }
  EXPECT_THAT(keys, ::testing::IsSupersetOf({"full", "window", "ditfastattn", "re-ttention"}));
}

TEST(Catalog, ReTtentionHasTheDefaultsOfItsCode) {
  const MethodChoice choice = resolve({"re-ttention", {}}, 50);
  EXPECT_EQ(std::get<double>(choice.parameters.at("kept_ratio")), 1.0 / 32);
  EXPECT_EQ(std::get<std::int64_t>(choice.parameters.at("warmup_steps")), 15);
  EXPECT_EQ(std::get<std::int64_t>(choice.parameters.at("refresh_period")), 5);
  EXPECT_EQ(std::get<double>(choice.parameters.at("lambda")), 0.04);
  EXPECT_FALSE(std::get<bool>(choice.parameters.at("clamp")));
}

TEST(Catalog, WarmUpFollowsTheStepsUnlessItWasSet) {
  EXPECT_EQ(std::get<std::int64_t>(resolve({"window", {}}, 20).parameters.at("warmup_steps")), 6);
  EXPECT_EQ(std::get<std::int64_t>(resolve({"window", {}}, 1).parameters.at("warmup_steps")), 0);
  EXPECT_EQ(std::get<std::int64_t>(resolve({"window", {{"warmup_steps", std::int64_t{3}}}}, 20).parameters.at("warmup_steps")),
            3);
  EXPECT_EQ(std::get<std::int64_t>(resolve(resolve({"window", {}}), 20).parameters.at("warmup_steps")), 6) << "resolving twice";
}

TEST(Catalog, TakesWhatAPaperPublishesForTheModelWhereNothingWasSet) {
  const auto of = [](const char* method, const char* model, int steps) {
    return to_string(resolve(with_published(parse_method_choice(method), model, steps), steps));
  };
  EXPECT_NE(of("rectified-spaattn", "CogVideoX1.5-5B", 50).find("kept_ratio=0.15,"), std::string::npos) << of("rectified-spaattn", "CogVideoX1.5-5B", 50);
  EXPECT_NE(of("rectified-spaattn:kept_ratio=0.3", "CogVideoX1.5-5B", 50).find("kept_ratio=0.3,"), std::string::npos) << "what was set stays";
  EXPECT_NE(of("svg", "CogVideoX1.5-5B", 30).find("warmup_steps=6"), std::string::npos) << "10 of 50 steps are 6 of 30";
  EXPECT_NE(of("svg", "CogVideoX1.5-5B", 30).find("dense_layers=2"), std::string::npos);
  EXPECT_NE(of("adaspa", "HunyuanVideo", 50).find("search_steps=10/30"), std::string::npos);
  EXPECT_NE(of("adaspa", "HunyuanVideo", 20).find("search_steps=20%/60%"), std::string::npos);
  EXPECT_NE(of("adaspa+re-ttention", "CogVideoX1.5-5B", 50).find("search_steps=10/30"), std::string::npos) << "a plan keeps its values";
  EXPECT_EQ(of("rectified-spaattn", "", 50), to_string(resolve({"rectified-spaattn", {}}, 50)));
}

TEST(Catalog, SaysWhereDefaultsComeFrom) {
  const auto note = [](const char* method, const char* model) { return defaults_note(parse_method_choice(method), model, "my-model"); };
  EXPECT_EQ(note("paroattention", "CogVideoX-5B"), "Defaults: kept_ratio as published for CogVideoX-5B.");
  EXPECT_EQ(note("paroattention:kept_ratio=0.5", "CogVideoX-5B"), "Defaults derived from other models: nothing is published for my-model.");
  EXPECT_EQ(note("re-ttention", ""), "Defaults derived from other models: nothing is published for my-model.");
  EXPECT_EQ(note("full", "CogVideoX-5B"), "");
}

TEST(Catalog, EveryPublishedValueIsOneThatTheMethodTakes) {
  for (const MethodEntry& entry : methods()) {
    for (const Parameter& parameter : entry.parameters) {
      for (const PublishedValue& value : parameter.published) {
        EXPECT_NO_THROW(resolve({entry.key, {{parameter.key, value.value}}}, 50)) << entry.key << " " << parameter.key << " " << value.model;
        EXPECT_EQ(value.model.find(','), std::string::npos) << "a name alone";
      }
    }
  }
}

TEST(Catalog, ReadsAMethodChoiceAsTyped) {
  const MethodChoice choice = parse_method_choice("re-ttention: kept_ratio=1/16, lambda=0.02 ,clamp=paper,refresh_period=4");
  EXPECT_EQ(choice.key, "re-ttention");
  EXPECT_EQ(choice.parameters.size(), 4u);
  EXPECT_EQ(std::get<double>(choice.parameters.at("kept_ratio")), 1.0 / 16);
  EXPECT_EQ(std::get<double>(choice.parameters.at("lambda")), 0.02);
  EXPECT_TRUE(std::get<bool>(choice.parameters.at("clamp")));
  EXPECT_EQ(std::get<std::int64_t>(choice.parameters.at("refresh_period")), 4);
  EXPECT_EQ(std::get<double>(parse_method_choice("window:kept_ratio=12.5%").parameters.at("kept_ratio")), 0.125);
  EXPECT_TRUE(parse_method_choice("full").parameters.empty());
  EXPECT_TRUE(parse_method_choice("window:").parameters.empty());
  EXPECT_EQ(kind_of([] { parse_method_choice("window:kept_ratio=0.1,kept_ratio=0.2"); }), ErrorKind::InvalidArgument);
}

TEST(Catalog, WritesAChoiceThatReadsBackEqual) {
  for (const MethodEntry& method : methods()) {
    MethodChoice choice = resolve({method.key, {}}, 37);
    if (choice.parameters.count("kept_ratio")) choice.parameters["kept_ratio"] = 0.1 + 0.2;
    const MethodChoice again = parse_method_choice(to_string(choice));
    EXPECT_EQ(again.key, choice.key);
    EXPECT_EQ(again.parameters, choice.parameters) << to_string(choice);
  }
}

TEST(Catalog, JoinsAnyPlanWithAnyCorrection) {
  const MethodEntry& joined = find_method("adaspa+re-ttention");
  EXPECT_EQ(joined.plan, "adaspa");
  EXPECT_EQ(joined.correction, "re-ttention");
  const MethodChoice choice = parse_method_choice("adaspa+re-ttention:search_steps=4/9,lambda=0,refresh_period=3");
  EXPECT_EQ(choice.key, "adaspa+re-ttention");
  EXPECT_EQ(std::get<std::string>(resolve(choice, 20).parameters.at("search_steps")), "4/9");
  EXPECT_EQ(parse_method_choice(to_string(resolve(choice, 20))).parameters, resolve(choice, 20).parameters);
  for (const MethodEntry& method : methods()) {
    if (method.plan.empty()) continue;
    for (const CorrectionEntry& correction : corrections()) {
      const MethodEntry& entry = find_method(method.key + "+" + correction.key);
      std::set<std::string> keys;
      for (const Parameter& parameter : entry.parameters) EXPECT_TRUE(keys.insert(parameter.key).second) << entry.key << "." << parameter.key;
      for (const Parameter& parameter : correction.parameters) EXPECT_EQ(keys.count(parameter.key), 1u) << entry.key;
    }
  }
  EXPECT_EQ(kind_of([] { find_method("full+delta"); }), ErrorKind::InvalidArgument);
  EXPECT_EQ(kind_of([] { find_method("adaspa+"); }), ErrorKind::NotFound);
  EXPECT_EQ(kind_of([] { find_method("adaspa+delta+none"); }), ErrorKind::NotFound);
  EXPECT_EQ(kind_of([] { parse_method_choice("adaspa+none:lambda=0"); }), ErrorKind::NotFound);
}

TEST(Catalog, ReadsStepsAsNumbersOrSharesOfTheRun) {
  EXPECT_EQ(steps_of("10/30", 50), (std::vector<int>{10, 30}));
  EXPECT_EQ(steps_of(" 0 / 7 ", 5), (std::vector<int>{0, 7}));
  EXPECT_EQ(steps_of("20%/60%", 50), (std::vector<int>{10, 30}));
  EXPECT_EQ(steps_of("20%/60%", 30), (std::vector<int>{6, 18}));
  EXPECT_EQ(steps_of("20%/30%", 3), (std::vector<int>{1})) << "two shares on one step";
  for (const char* text : {"", "/", "10/", "30/10", "10/10", "-1", "1.5", "ten", "10%/20", "101%", "10//20", "nan"}) {
    EXPECT_EQ(kind_of([&] { steps_of(text, 50); }), ErrorKind::InvalidArgument) << text;
  }
}

TEST(Catalog, OffersTheNearestNameForAnUnknownMethodKeyOrScheduler) {
  std::string message;
  EXPECT_EQ(kind_of([] { parse_method_choice("retention"); }, &message), ErrorKind::NotFound);
  EXPECT_THAT(message, ::testing::HasSubstr("did you mean re-ttention?"));
  EXPECT_EQ(kind_of([] { parse_method_choice("re-ttention:lamda=1"); }, &message), ErrorKind::NotFound);
  EXPECT_THAT(message, ::testing::HasSubstr("did you mean lambda?"));
  EXPECT_EQ(kind_of([] { parse_method_choice("full:lambda=1"); }), ErrorKind::NotFound);
  EXPECT_EQ(kind_of([] { find_scheduler("CogVideoXDDIM"); }, &message), ErrorKind::NotFound);
  EXPECT_THAT(message, ::testing::HasSubstr("did you mean CogVideoXDDIMScheduler?"));
  EXPECT_EQ(kind_of([] { parse_method_choice("zzzzzzzzzz"); }, &message), ErrorKind::NotFound);
  EXPECT_THAT(message, ::testing::Not(::testing::HasSubstr("did you mean")));
}

TEST(Catalog, RefusesValuesOutOfRangeAndOfTheWrongType) {
  for (const char* text : {"window:kept_ratio=0", "window:kept_ratio=1.5", "window:kept_ratio=nan", "window:kept_ratio=abc",
                           "window:kept_ratio=1/0", "window:warmup_steps=2.5", "window:warmup_steps=-1",
                           "re-ttention:clamp=perhaps", "re-ttention:lambda=1e9", "window:kept_ratio"}) {
    EXPECT_EQ(kind_of([&] { parse_method_choice(text); }), ErrorKind::InvalidArgument) << text;
  }
  EXPECT_EQ(kind_of([] { resolve({"re-ttention", {{"clamp", 1.0}}}); }), ErrorKind::InvalidArgument);
  EXPECT_EQ(kind_of([] { resolve({"re-ttention", {{"lambda", std::string("x")}}}); }), ErrorKind::InvalidArgument);
}

TEST(Catalog, TakesAnIntegerWhereARealIsMeantAndTheReverse) {
  const MethodChoice choice = resolve({"re-ttention", {{"kept_ratio", std::int64_t{1}}, {"refresh_period", 4.0}}});
  EXPECT_EQ(std::get<double>(choice.parameters.at("kept_ratio")), 1.0);
  EXPECT_EQ(std::get<std::int64_t>(choice.parameters.at("refresh_period")), 4);
}

}  // namespace
}  // namespace ditscope
