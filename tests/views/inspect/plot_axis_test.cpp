// Axes, ticks and series of plots: value <-> px, and what is never drawn.
#include "views/inspect/plot_axis.h"

#include <gtest/gtest.h>

#include <random>

namespace ditscope::views {
namespace {

constexpr double kNan = std::numeric_limits<double>::quiet_NaN(), kInf = std::numeric_limits<double>::infinity();

PlotAxis axis(double low, double high, AxisScale scale = AxisScale::Linear) {
  PlotAxis a;
  a.low = low, a.high = high, a.scale = scale, a.begin = 100, a.end = 20;
  return a;
}

TEST(PlotAxis, PlacesAndPicksAreInverseOnEveryScale) {
  std::mt19937 random(7);
  for (const AxisScale scale : {AxisScale::Linear, AxisScale::Log10, AxisScale::Log2}) {
    const PlotAxis a = axis(0.01, 8, scale);
    for (int i = 0; i < 200; ++i) {
      const double value = std::uniform_real_distribution(0.01, 8.0)(random);
      EXPECT_NEAR(a.value(a.place(value)), value, 1e-9);
    }
    EXPECT_DOUBLE_EQ(a.place(0.01), 100);
    EXPECT_NEAR(a.place(8), 20, 1e-9);
  }
}

TEST(PlotAxis, WhatHasNoPlaceHasNone) {
  EXPECT_TRUE(std::isnan(axis(0, 1).place(kNan)));
  EXPECT_TRUE(std::isnan(axis(0, 1).place(kInf)));
  EXPECT_TRUE(std::isnan(axis(0.1, 1, AxisScale::Log10).place(0)));
  EXPECT_TRUE(std::isnan(axis(0.1, 1, AxisScale::Log2).place(-1)));
  EXPECT_TRUE(std::isnan(axis(3, 3).place(3)));
}

TEST(PlotTicks, AreRoundAndInside) {
  std::mt19937 random(3);
  for (int i = 0; i < 500; ++i) {
    const double low = std::uniform_real_distribution(-50.0, 50.0)(random), width = std::exp(std::uniform_real_distribution(-8.0, 8.0)(random));
    const auto marks = plot_ticks(axis(low, low + width), 5);
    ASSERT_GE(marks.size(), 2U) << low << " " << width;
    ASSERT_LE(marks.size(), 5U);
    const double step = marks[1].value - marks[0].value;
    const double lead = step / std::pow(10.0, std::floor(std::log10(step) + 1e-9));
    EXPECT_TRUE(std::fabs(lead - 1) < 1e-6 || std::fabs(lead - 2) < 1e-6 || std::fabs(lead - 5) < 1e-6 || std::fabs(lead - 10) < 1e-6) << step;
    for (const auto& mark : marks) EXPECT_TRUE(mark.value >= low - step * 1e-6 && mark.value <= low + width + step * 1e-6);
  }
}

TEST(PlotTicks, AreDecadesOrOctavesOverWideRanges) {
  const auto decades = plot_ticks(axis(1e-6, 1, AxisScale::Log10), 4);
  ASSERT_GE(decades.size(), 2U);
  for (const auto& mark : decades) EXPECT_NEAR(std::log10(mark.value), std::round(std::log10(mark.value)), 1e-9);
  EXPECT_EQ(decades.front().text, "1e-6");
  const auto octaves = plot_ticks(axis(0.125, 8, AxisScale::Log2), 9);
  ASSERT_EQ(octaves.size(), 7U);
  EXPECT_EQ(octaves[3].value, 1);
  const auto narrow = plot_ticks(axis(0.9, 1.3, AxisScale::Log2), 5);
  ASSERT_GE(narrow.size(), 2U);
  EXPECT_EQ(narrow[0].text, "0.9");
}

TEST(PlotTicks, EmptyAndBrokenAxesHaveNone) {
  EXPECT_TRUE(plot_ticks(axis(1, 1), 5).empty());
  EXPECT_TRUE(plot_ticks(axis(kNan, 1), 5).empty());
  EXPECT_TRUE(plot_ticks(axis(0, kInf), 5).empty());
  EXPECT_TRUE(plot_ticks(axis(0, 1), 0).empty());
}

TEST(PlotNumber, IsShortAndNeverASuperscript) {
  EXPECT_EQ(plot_number(0.25), "0.250");
  EXPECT_EQ(plot_number(0.25, 0.05), "0.25");
  EXPECT_EQ(plot_number(1e-4), "1e-4");
  EXPECT_EQ(plot_number(2.5e-7), "2.5e-7");
  EXPECT_EQ(plot_number(120, 10), "120");
  EXPECT_EQ(plot_number(1234.5), "1234");
  EXPECT_EQ(plot_number(2e7), "2e7");
  EXPECT_EQ(plot_number(0), "0.000");
  EXPECT_EQ(plot_number(kNan), "-");
  EXPECT_EQ(plot_number(kInf), "Inf");
  EXPECT_EQ(plot_number(-kInf), "-Inf");
}

TEST(FitAxis, TakesFiniteValuesOnlyAndAlwaysHasWidth) {
  Extent extent;
  extent.add({kNan, 2, kInf, 4});
  const PlotAxis some = fit_axis(extent);
  EXPECT_LT(some.low, 2);
  EXPECT_GT(some.low, 1);
  EXPECT_GT(some.high, 4);
  for (const AxisScale scale : {AxisScale::Linear, AxisScale::Log10, AxisScale::Log2}) {
    EXPECT_GT(fit_axis({}, scale).high, fit_axis({}, scale).low);
    Extent one;
    one.add(3);
    EXPECT_GT(fit_axis(one, scale).high, 3);
    EXPECT_LT(fit_axis(one, scale).low, 3);
    Extent zero;
    zero.add(0);
    EXPECT_GT(fit_axis(zero, scale).high, fit_axis(zero, scale).low);
  }
}

TEST(CurvePoints, LieWhereTheValuesAreAndBreakWhereThereAreNone) {
  PlotAxis x = axis(-0.5, 3.5), y = axis(0, 10);
  x.begin = 0, x.end = 40;
  const auto points = curve_points({5, kNan, 10, kInf}, x, y);
  ASSERT_EQ(points.size(), 4U);
  EXPECT_DOUBLE_EQ(points[0].x, 5);
  EXPECT_DOUBLE_EQ(points[0].y, 60);
  EXPECT_TRUE(std::isnan(points[1].y));
  EXPECT_DOUBLE_EQ(points[2].y, 20);
  EXPECT_TRUE(std::isnan(points[3].y));
}

TEST(StaircasePoints, SpanTheirStepAndNeverAGap) {
  PlotAxis x = axis(-0.5, 3.5), y = axis(0, 10);
  x.begin = 0, x.end = 40;
  const auto points = staircase_points({1, 2, kNan, 3}, x, y);
  // Two points for each measured step, one that breaks the line between them.
  ASSERT_EQ(points.size(), 7U);
  EXPECT_DOUBLE_EQ(points[0].x, 0);
  EXPECT_DOUBLE_EQ(points[1].x, 10);
  EXPECT_DOUBLE_EQ(points[2].x, 10);
  EXPECT_DOUBLE_EQ(points[3].x, 20);
  EXPECT_TRUE(std::isnan(points[4].y));
  EXPECT_DOUBLE_EQ(points[5].x, 30);
}

TEST(StepAt, IsTheColumnOfTheStepAndNothingOutside) {
  PlotAxis x = axis(-0.5, 9.5);
  x.begin = 50, x.end = 150;
  for (int step = 0; step < 10; ++step) {
    EXPECT_EQ(step_at(x, x.place(step), 10), step);
    EXPECT_EQ(step_at(x, x.place(step - 0.49), 10), step);
    EXPECT_EQ(step_at(x, x.place(step + 0.49), 10), step);
  }
  EXPECT_EQ(step_at(x, 49.9, 10), -1);
  EXPECT_EQ(step_at(x, 150, 10), -1);
  EXPECT_EQ(step_at(x, x.place(9), 5), -1);
}

TEST(BarTop, CutsAFewThatStandFarAboveAllOthers) {
  Series values(30, 100);
  EXPECT_EQ(bar_top(values), 100);
  values[5] = 30000;
  EXPECT_EQ(bar_top(values), 125);
  values[5] = 300;
  EXPECT_EQ(bar_top(values), 300);
  EXPECT_EQ(bar_top({}), 0);
  EXPECT_EQ(bar_top({kNan, kInf}), 0);
}

TEST(Spread, KeepsLabelsApartAndInside) {
  const auto at = spread({50, 51, 10, 99}, 14, 7, 93);
  EXPECT_LT(at[2], at[0]);
  EXPECT_LT(at[0], at[1]);
  EXPECT_LT(at[1], at[3]);
  EXPECT_GE(at[1] - at[0], 14 - 1e-9);
  EXPECT_LE(at[3], 93);
  EXPECT_DOUBLE_EQ(at[2], 10);
  EXPECT_TRUE(spread({}, 14, 0, 100).empty());
}

}  // namespace
}  // namespace ditscope::views
