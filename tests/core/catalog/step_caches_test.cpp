#include "core/catalog/step_caches.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>

#include "kernels/error.h"

namespace ditscope {
namespace {

template <typename Action>
ErrorKind kind_of(const Action& action, std::string* message = nullptr) {
  try {
    action();
  } catch (const Error& error) {
    if (message) *message = error.what();
    return error.kind();
  }
  ADD_FAILURE() << "no error was thrown";
  return ErrorKind::Cancelled;
}

TEST(StepCaches, EveryEntryIsDescribedAndItsKeysCannotMeetThoseOfAMethod) {
  for (const StepCacheEntry& cache : step_caches()) {
    EXPECT_FALSE(cache.name.empty() || cache.summary.empty() || cache.paper.empty()) << cache.key;
    std::set<std::string> keys;
    for (const Parameter& p : cache.parameters) {
      EXPECT_TRUE(p.key.starts_with("cache_")) << p.key;
      EXPECT_TRUE(keys.insert(p.key).second) << p.key;
      EXPECT_FALSE(p.label.empty() || p.help.empty() || p.formula.empty() || p.source.empty()) << cache.key << "." << p.key;
      EXPECT_NO_THROW(resolve({"full+" + cache.key, {{p.key, p.default_value}}})) << "a default out of its own range: " << p.key;
    }
    for (const char* shared : {"cache_threshold", "cache_warmup_steps", "cache_last_steps"}) EXPECT_EQ(keys.count(shared), 1u) << cache.key;
  }
}

TEST(StepCaches, GoWithEveryMethodAndEveryCorrectionAsTheLastPartOfTheName) {
  for (const StepCacheEntry& cache : step_caches()) {
    for (const MethodEntry& method : methods()) {
      const MethodEntry& joined = find_method(method.key + "+" + cache.key);
      EXPECT_EQ(joined.step_cache, cache.key);
      EXPECT_EQ(joined.plan, method.plan);
      EXPECT_EQ(joined.correction, method.correction);
      EXPECT_EQ(joined.parameters.size(), method.parameters.size() + cache.parameters.size()) << joined.key;
    }
  }
  const MethodEntry& all = find_method("adaspa+re-ttention+teacache");
  EXPECT_EQ(all.plan, "adaspa");
  EXPECT_EQ(all.correction, "re-ttention");
  EXPECT_EQ(all.step_cache, "teacache");
  EXPECT_EQ(find_method("re-ttention").step_cache, "");
  const MethodChoice choice = parse_method_choice("window+fbcache:kept_ratio=1/16,cache_threshold=0.2,warmup_steps=2,cache_warmup_steps=3");
  EXPECT_EQ(std::get<std::int64_t>(choice.parameters.at("warmup_steps")), 2);
  EXPECT_EQ(std::get<std::int64_t>(choice.parameters.at("cache_warmup_steps")), 3);
  EXPECT_EQ(parse_method_choice(to_string(resolve(choice, 20))).parameters, resolve(choice, 20).parameters);
}

TEST(StepCaches, RefuseWhatIsNoStepCacheAndASecondOne) {
  std::string message;
  EXPECT_EQ(kind_of([] { find_method("full+teacach"); }, &message), ErrorKind::NotFound);
  EXPECT_THAT(message, ::testing::HasSubstr("did you mean teacache?"));
  EXPECT_EQ(kind_of([] { find_method("full+teacache+fbcache"); }), ErrorKind::NotFound);
  EXPECT_EQ(kind_of([] { find_method("adaspa+teacache+delta"); }), ErrorKind::NotFound) << "the step cache comes last";
  EXPECT_EQ(kind_of([] { find_method("full+"); }), ErrorKind::NotFound);
  EXPECT_EQ(kind_of([] { find_method("teacache"); }), ErrorKind::NotFound);
  EXPECT_EQ(kind_of([] { parse_method_choice("full+teacache:cache_threshold=-1"); }), ErrorKind::InvalidArgument);
  EXPECT_EQ(kind_of([] { parse_method_choice("full+teacache:cache_polynomial=wan"); }), ErrorKind::InvalidArgument);
  EXPECT_EQ(kind_of([] { with_step_cache({"full+teacache", {}}, "fbcache"); }), ErrorKind::InvalidArgument);
  EXPECT_EQ(kind_of([] { with_step_cache({}, "cache"); }), ErrorKind::NotFound);
  EXPECT_EQ(kind_of([] { with_step_cache({}, "teacache:thresh=1"); }), ErrorKind::NotFound);
}

TEST(StepCaches, JoinAMethodThatWasChosenAndKeepItsParameters) {
  const MethodChoice choice = with_step_cache(parse_method_choice("re-ttention:lambda=0.02"), "teacache:threshold=0.2, cache_last_steps=2");
  EXPECT_EQ(choice.key, "re-ttention+teacache");
  EXPECT_EQ(std::get<double>(choice.parameters.at("lambda")), 0.02);
  EXPECT_EQ(std::get<double>(choice.parameters.at("cache_threshold")), 0.2);
  EXPECT_EQ(std::get<std::int64_t>(choice.parameters.at("cache_last_steps")), 2);
  EXPECT_EQ(choice.parameters.size(), 3u);
}

TEST(StepCaches, FindAPolynomialByTheShapeOfAModel) {
  ASSERT_NE(teacache_polynomial("CogVideoX", 42, 48, 1), nullptr);
  EXPECT_EQ(teacache_polynomial("CogVideoX", 42, 48, 1)->key, "cogvideox-5b");
  EXPECT_EQ(teacache_polynomial("CogVideoX", 42, 48, 2)->key, "cogvideox1.5-5b");
  EXPECT_EQ(teacache_polynomial("CogVideoX", 8, 4, 1), nullptr);
  for (const TeaCachePolynomial& p : teacache_polynomials()) EXPECT_EQ(p.coefficients.size(), 5u) << p.key;
}

TEST(StepCaches, TheCodebookScalesItsIntervalsToTheRun) {
  EXPECT_EQ(adacache_codebook("scaled", 100).front().interval_steps, 12);
  EXPECT_EQ(adacache_codebook("scaled", 50).front().interval_steps, 6);
  EXPECT_EQ(adacache_codebook("scaled", 10).back().interval_steps, 1);
  EXPECT_EQ(adacache_codebook("30", 10).front().interval_steps, 6);
  EXPECT_EQ(kind_of([] { adacache_codebook("12", 10); }), ErrorKind::NotFound);
}

}  // namespace
}  // namespace ditscope
