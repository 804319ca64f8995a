#include "core/attention/schedule.h"

#include <gtest/gtest.h>

#include <algorithm>

namespace ditscope {
namespace {

int count(const Schedule& schedule, StepKind kind) {
  return static_cast<int>(std::count(schedule.cells.begin(), schedule.cells.end(), kind));
}

TEST(Schedule, OfCogVideoX2BHas22FullAnd28SparseSteps) {
  const Schedule schedule = make_schedule({.warmup_steps = 15, .refresh_period = 5}, 50, 1);
  EXPECT_EQ(count(schedule, StepKind::Full), 15);
  EXPECT_EQ(count(schedule, StepKind::Refresh), 7);
  EXPECT_EQ(count(schedule, StepKind::Sparse), 28);
  for (const int step : {15, 20, 25, 30, 35, 40, 45}) EXPECT_EQ(schedule.at(step, 0), StepKind::Refresh) << step;
  EXPECT_EQ(schedule.at(14, 0), StepKind::Full);
  EXPECT_EQ(schedule.at(49, 0), StepKind::Sparse);
}

TEST(Schedule, AveragesAndCeilingsAreThoseOfThePapersThreeSettings) {
  EXPECT_NEAR(make_schedule({.warmup_steps = 5, .refresh_period = 5}, 20, 28).average_kept(1.0 / 32), 0.423, 5e-4);
  EXPECT_NEAR(make_schedule({.warmup_steps = 10, .refresh_period = 5}, 50, 40).average_kept(1.0 / 32), 0.385, 5e-4);
  const Schedule cog = make_schedule({.warmup_steps = 15, .refresh_period = 5}, 50, 30);
  EXPECT_NEAR(cog.average_kept(17716048.0 / (17776.0 * 17776.0)), 0.479, 5e-4);
  EXPECT_NEAR(cog.ceiling(17716048.0 / (17776.0 * 17776.0)), 2.09, 5e-3);
}

TEST(Schedule, TheFirstStepAfterWarmUpIsARefreshForAnyWarmUp) {
  for (int warmup = 0; warmup < 9; ++warmup) {
    const Schedule schedule = make_schedule({.warmup_steps = warmup, .refresh_period = 4}, 30, 2);
    for (int step = 0; step < warmup; ++step) EXPECT_EQ(schedule.at(step, 1), StepKind::Full);
    EXPECT_EQ(schedule.at(warmup, 1), StepKind::Refresh);
    EXPECT_EQ(schedule.at(warmup + 3, 1), StepKind::Sparse);
    EXPECT_EQ(schedule.at(warmup + 4, 1), StepKind::Refresh);
  }
}

TEST(Schedule, DenseLayersAndAPeriodOfZeroAreRespected) {
  const Schedule schedule = make_schedule({.warmup_steps = 2, .refresh_period = 0, .dense_layers = 3}, 6, 5);
  for (int step = 0; step < 6; ++step) {
    for (int layer = 0; layer < 5; ++layer) {
      EXPECT_EQ(schedule.at(step, layer), step < 2 || layer < 3 ? StepKind::Full : StepKind::Sparse);
    }
  }
  EXPECT_EQ(schedule.at(99, 4), StepKind::Sparse) << "beyond the last step it goes on as there";
}

}  // namespace
}  // namespace ditscope
