#include "core/study/statistics.h"

#include <gtest/gtest.h>

#include <vector>

namespace ditscope::study {
namespace {

TEST(BootstrapMean, OfNothingCountsNothing) { EXPECT_EQ(bootstrap_mean({}).count, 0); }

TEST(BootstrapMean, OfOneValueIsThatValue) {
  const Interval one = bootstrap_mean(std::vector<double>{3.5});
  EXPECT_EQ(one.count, 1);
  EXPECT_EQ(one.mean, 3.5);
  EXPECT_EQ(one.low, 3.5);
  EXPECT_EQ(one.high, 3.5);
}

TEST(BootstrapMean, OfEqualValuesHasNoWidth) {
  const Interval equal = bootstrap_mean(std::vector<double>{2, 2, 2, 2});
  EXPECT_EQ(equal.low, 2);
  EXPECT_EQ(equal.high, 2);
}

TEST(BootstrapMean, HasTheWidthOfTheStandardError) {
  std::vector<double> values;
  for (int i = 0; i < 100; ++i) values.push_back(i % 2);  // mean 1/2, standard error 0.05
  const Interval half = bootstrap_mean(values);
  EXPECT_EQ(half.mean, 0.5);
  EXPECT_NEAR(half.low, 0.5 - 1.96 * 0.05, 0.015);
  EXPECT_NEAR(half.high, 0.5 + 1.96 * 0.05, 0.015);
}

TEST(BootstrapMean, RepeatsItselfUnderASeedAndDiffersUnderAnother) {
  const std::vector<double> values{1, 4, 2, 8, 5.5};
  EXPECT_EQ(bootstrap_mean(values, 100, 3).low, bootstrap_mean(values, 100, 3).low);
  EXPECT_NE(bootstrap_mean(values, 7, 3).low, bootstrap_mean(values, 7, 5).low);
}

Frames ramp(std::vector<float> levels) {
  Frames frames{static_cast<int>(levels.size()), 2, 2, 8.0, {}};
  for (const float level : levels) frames.rgb.insert(frames.rgb.end(), 12, level);
  return frames;
}

TEST(Flicker, OfEvenChangeIsNone) { EXPECT_NEAR(flicker(ramp({0.1F, 0.2F, 0.3F, 0.4F})), 0, 1e-4); }

TEST(Flicker, OfAFlashCountsItsRiseAndItsFall) {
  // Second differences of 0 1 0 0: -2 and 1.
  EXPECT_NEAR(flicker(ramp({0, 1, 0, 0})), 255 * 1.5, 1e-3);
}

TEST(Flicker, BelowThreeFramesIsNone) { EXPECT_EQ(flicker(ramp({0, 1})), 0); }

}  // namespace
}  // namespace ditscope::study
