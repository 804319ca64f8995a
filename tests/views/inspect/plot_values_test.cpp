// Figures of heads brought to steps and layers, first divergence, quantiles, violins, work and time.
#include "views/inspect/plot_values.h"

#include <gtest/gtest.h>

#include <cmath>

#include "views/inspect/budget_work.h"
#include "views/inspect/histogram_rows.h"
#include "views/inspect/timeline_range.h"

namespace ditscope::views {
namespace {

constexpr double kNan = std::numeric_limits<double>::quiet_NaN(), kInf = std::numeric_limits<double>::infinity();

TEST(MeanByStep, SkipsWhatWasNotMeasuredAndKeepsInfinity) {
  const HeadValues values = {{0, 0, 0, 0, 1}, {0, 0, 0, 1, 3}, {1, 0, 0, 0, kNan}, {2, 0, 0, 0, kInf}, {2, 0, 0, 1, 1}, {9, 0, 0, 0, 5}};
  const Series mean = mean_by_step(values, 4, {});
  ASSERT_EQ(mean.size(), 4U);
  EXPECT_EQ(mean[0], 2);
  EXPECT_TRUE(std::isnan(mean[1]));
  EXPECT_TRUE(std::isinf(mean[2]));
  EXPECT_TRUE(std::isnan(mean[3]));
  HeadChoice head;
  head.head = 1;
  EXPECT_EQ(mean_by_step(values, 4, head)[0], 3);
}

TEST(MeanByLayerAndHead, PutsEachHeadInItsCell) {
  const HeadValues values = {{0, 1, 0, 2, 4}, {1, 1, 0, 2, 8}, {0, 0, 1, 0, 5}};
  const ValueGrid grid = mean_by_layer_and_head(values, 2, 3, {});
  EXPECT_EQ(grid.at(1, 2), 6);
  EXPECT_EQ(grid.at(0, 0), 5);
  EXPECT_TRUE(std::isnan(grid.at(0, 1)));
  const ValueGrid steps = mean_by_step_and_layer(values, 2, 2, {});
  EXPECT_EQ(steps.at(1, 1), 8);
  EXPECT_EQ(steps.rows, 2);
}

TEST(RatioOf, PairsTheSameHeads) {
  const HeadValues a = {{0, 0, 0, 0, 6}, {0, 0, 0, 1, 6}, {1, 0, 0, 0, 6}}, b = {{1, 0, 0, 0, 0}, {0, 0, 0, 0, 3}};
  const HeadValues ratio = ratio_of(a, b);
  EXPECT_EQ(ratio[0].value, 2);
  EXPECT_TRUE(std::isnan(ratio[1].value));  // not there
  EXPECT_TRUE(std::isnan(ratio[2].value));  // over zero
}

TEST(FirstDivergence, IsTheEarliestStepThenLayerThenTheWorstHead) {
  const HeadValues errors = {{3, 0, 0, 0, 0.9}, {2, 1, 0, 4, 0.2}, {2, 1, 1, 5, 0.3}, {2, 5, 0, 0, 0.8}, {1, 0, 0, 0, kNan}, {0, 0, 0, 0, 0.05}};
  const auto first = first_divergence(errors, 0.1);
  ASSERT_TRUE(first);
  EXPECT_EQ(first->step, 2);
  EXPECT_EQ(first->layer, 1);
  EXPECT_EQ(first->head, 5);
  EXPECT_EQ(first->branch, 1);
  EXPECT_EQ(first->value, 0.3);
  EXPECT_EQ(first_divergence(errors, 0.01)->step, 0);
  EXPECT_FALSE(first_divergence(errors, 1));
  EXPECT_FALSE(first_divergence({}, 0));
  EXPECT_FALSE(first_divergence({{0, 0, 0, 0, kNan}}, 0));
  EXPECT_TRUE(first_divergence({{0, 0, 0, 0, kInf}}, 1e9));
}

TEST(Quantile, LiesBetweenNeighboursAndSkipsWhatIsNotFinite) {
  std::vector<float> values = {4, static_cast<float>(kNan), 1, 3, 2, static_cast<float>(kInf)};
  EXPECT_DOUBLE_EQ(quantile(values, 0.5), 2.5);
  EXPECT_DOUBLE_EQ(quantile(values, 0), 1);
  EXPECT_DOUBLE_EQ(quantile(values, 1), 4);
  std::vector<float> none = {static_cast<float>(kNan)};
  EXPECT_TRUE(std::isnan(quantile(none, 0.5)));
  std::vector<float> one = {7};
  EXPECT_EQ(quantile(one, 0.9), 7);
}

TEST(Histogram, CountsEveryFiniteValueOnce) {
  const auto shares = histogram({0, 0.1F, 0.9F, 1, 5, -3, static_cast<float>(kNan)}, 0, 1, 2);
  EXPECT_DOUBLE_EQ(shares[0] + shares[1], 1);
  EXPECT_DOUBLE_EQ(shares[0], 0.5);
  EXPECT_EQ(histogram({}, 0, 1, 4), std::vector<double>(4, 0));
  EXPECT_DOUBLE_EQ(histogram({2, 2}, 2, 2, 3)[0], 1);
}

TEST(Violin, IsWidestWhereMostRowsAreAndStandsForOneValue) {
  std::vector<float> values;
  for (int i = 0; i < 1000; ++i) values.push_back(i < 900 ? 2 + 0.0001F * i : 10);
  const Violin violin = violin_of(values);
  EXPECT_NEAR(violin.low, 2, 1e-6);
  EXPECT_NEAR(violin.high, 10, 1e-6);
  EXPECT_NEAR(violin.median, 2.05, 0.01);
  EXPECT_EQ(violin.widths[0], 1);
  EXPECT_LT(violin.widths[20], 0.01);
  EXPECT_TRUE(violin_of({static_cast<float>(kNan)}).empty());
  EXPECT_EQ(violin_of({3, 3, 3}).widths.size(), 1U);
}

WorkTable table_of(double ms, double tiles, double done) {
  WorkTable table;
  for (int step = 0; step < 2; ++step) {
    table.calls.push_back({step, 0, 0, step ? "sparse" : "full", ms, 100, step ? done : 100.0, 1e6});
    for (int head = 0; head < 2; ++head) {
      table.head_ms.push_back({step, 0, 0, head, ms / 2});
      table.head_tiles.push_back({step, 0, 0, head, tiles});
    }
  }
  return table;
}

TEST(HeadWork, ComparesSparseStepsWithTheSameStepsOfTheReference) {
  const auto heads = head_work(table_of(3, 0.2, 20), table_of(4, 1, 100));
  ASSERT_EQ(heads.size(), 2U);
  EXPECT_NEAR(heads[0].skipped, 0.8, 1e-12);
  EXPECT_NEAR(heads[0].saved, 0.25, 1e-12);
  EXPECT_NEAR(head_work(table_of(8, 0.2, 20), table_of(4, 1, 100))[1].saved, -1, 1e-12);
  EXPECT_TRUE(head_work(table_of(3, 0.2, 20), {}).empty());
}

TEST(WorkTotals, CountEveryCall) {
  const WorkTotals totals = work_totals(table_of(3, 0.2, 20), table_of(4, 1, 100));
  EXPECT_NEAR(totals.skipped, 0.4, 1e-12);
  EXPECT_NEAR(totals.saved, 0.25, 1e-12);
  EXPECT_EQ(work_totals({}, {}).saved, 0);
}

TEST(WorkTable, AddsBranchesUpAndLeavesGaps) {
  WorkTable table;
  table.calls = {{0, 0, 0, "full", 2, 0, 0, 0}, {0, 0, 1, "full", 3, 0, 0, 5e5}, {1, 0, 0, "full", kNan, 0, 0, 0}};
  const ValueGrid grid = table.time_grid(2, 1);
  EXPECT_EQ(grid.at(0, 0), 5);
  EXPECT_TRUE(std::isnan(grid.at(0, 1)));
  EXPECT_EQ(table.plan_megabytes(3)[0], 0.5);
  EXPECT_TRUE(std::isnan(table.plan_megabytes(3)[2]));
}

TEST(TimelineRange, PlacesAndPicksAreInverse) {
  const Rect lane{100, 0, 600, 20};
  const TimelineRange range = TimelineRange{4, 10}.clamped(30);
  for (int step = 4; step < 10; ++step) {
    EXPECT_EQ(range.step_at(range.place(step + 0.5, lane), lane, 30), step);
    EXPECT_EQ(range.step_at(range.place(step, lane) + 0.01, lane, 30), step);
  }
  EXPECT_EQ(range.step_at(99, lane, 30), -1);
  EXPECT_EQ(range.step_at(700, lane, 30), -1);
}

TEST(TimelineRange, ZoomKeepsTheColumnUnderThePointerAndStaysInside) {
  const Rect lane{0, 0, 100, 10};
  const TimelineRange all = TimelineRange{}.clamped(40);
  EXPECT_EQ(all.last, 40);
  const TimelineRange closer = zoom_timeline(all, 20, 8, 40);
  EXPECT_NEAR(closer.last - closer.first, 20, 1e-9);
  EXPECT_NEAR(closer.place(20, lane), all.place(20, lane), 1e-9);
  const TimelineRange back = zoom_timeline(closer, 20, -80, 40);
  EXPECT_EQ(back.first, 0);
  EXPECT_EQ(back.last, 40);
  EXPECT_GE(zoom_timeline(all, 3, 1000, 40).last - zoom_timeline(all, 3, 1000, 40).first, 2 - 1e-9);
  const TimelineRange right = pan_timeline(closer, 10, 40);
  EXPECT_NEAR(right.last, 40, 1e-9);
  EXPECT_NEAR(right.last - right.first, 20, 1e-9);
  EXPECT_EQ(TimelineRange{}.clamped(0).last, 1);
  EXPECT_EQ(zoom_timeline({}, 0, 8, 1).last, 1);
}

}  // namespace
}  // namespace ditscope::views
