#include "views/inspect/range.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <numeric>

namespace ditscope::views {
namespace {

const ValueScale kLog{ValueScale::Kind::Log10, 1e-6};

TEST(Histogram, CountsEveryValueOnceAndNoNumbersApart) {
  const float inf = std::numeric_limits<float>::infinity();
  const std::vector<float> values{1e-6F, 1e-3F, 1e-3F, 1, 0, NAN, inf, -inf};
  const Histogram h = histogram_of(values, kLog, 15);
  EXPECT_EQ(h.finite, 5);
  EXPECT_EQ(h.nan, 1);
  EXPECT_EQ(h.infinite, 2);
  EXPECT_EQ(std::accumulate(h.counts.begin(), h.counts.end(), std::int64_t{0}), 5);
  EXPECT_EQ(h.counts.front(), 2);  // 1e-6 and what is below the floor
  EXPECT_EQ(h.counts.back(), 1);
  EXPECT_EQ(h.counts[7], 2);
}

TEST(Histogram, OfNothingAndOfOneValueHasAnExtent) {
  for (const std::vector<float>& values : {std::vector<float>{}, {NAN}, {0.5F}, {0, 0, 0}}) {
    const Histogram h = histogram_of(values, kLog);
    EXPECT_LT(h.low, h.high);
    const ValueRange range = autofit(values, kLog);
    EXPECT_LT(range.black, range.white);
  }
}

TEST(Autofit, LeavesOutliersOutside) {
  std::vector<float> values(10000);
  for (std::size_t i = 0; i < values.size(); ++i) values[i] = static_cast<float>(i) / 10000;
  values[5] = 1e6F;
  const ValueRange range = autofit(values, ValueScale{});
  EXPECT_NEAR(range.black, 0.01, 1e-3);
  EXPECT_NEAR(range.white, 0.999, 2e-3);
}

TEST(Autofit, CentredIsSymmetric) {
  const std::vector<float> values{-3, -1, 0, 1, 2};
  EXPECT_EQ(autofit(values, ValueScale{}, true), (ValueRange{-3, 3}));
  EXPECT_EQ(autofit({}, ValueScale{}, true, 1), (ValueRange{0, 2}));
  EXPECT_EQ(autofit(std::vector<float>{0, 0}, ValueScale{}, true), (ValueRange{-1, 1}));
}

RangeControl control() {
  RangeControl control;
  control.histogram = histogram_of(std::vector<float>{1e-6F, 1}, kLog);
  control.range = {-5, -1};
  return control;
}

PointerEvent event(PointerEvent::Kind kind, double x, double y) {
  PointerEvent e;
  e.kind = kind;
  e.at = {x, y};
  e.left = true;
  return e;
}

const Rect kArea{10, 20, 56, 400};

TEST(RangeControl, PixelsAndAxisAreInverse) {
  const RangeControl c = control();
  for (const double axis : {-6.0, -2.5, 0.0}) EXPECT_NEAR(c.axis_of(c.y_of(axis, kArea), kArea), axis, 1e-9);
  EXPECT_GT(c.y_of(-5, kArea), c.y_of(-1, kArea));
}

TEST(RangeControl, TheNearerHandleIsTakenAndFollowsTheMouse) {
  RangeControl c = control();
  c.always_fit = true;
  EXPECT_EQ(c.pick({20, c.y_of(-5, kArea) + 3}, kArea, 1), RangeControl::Handle::Black);
  EXPECT_EQ(c.pick({20, c.y_of(-1, kArea) - 3}, kArea, 1), RangeControl::Handle::White);
  EXPECT_EQ(c.pick({20, c.y_of(-3, kArea)}, kArea, 1), RangeControl::Handle::None);
  EXPECT_EQ(c.pick({5, c.y_of(-5, kArea)}, kArea, 1), RangeControl::Handle::None);
  const double target = c.y_of(-3, kArea);
  EXPECT_TRUE(c.pointer(event(PointerEvent::Kind::Press, 20, c.y_of(-5, kArea)), kArea, 1));
  EXPECT_FALSE(c.always_fit) << "a range set by hand stays";
  EXPECT_TRUE(c.pointer(event(PointerEvent::Kind::Move, 300, target), kArea, 1));
  EXPECT_NEAR(c.range.black, -3, 1e-9);
  EXPECT_TRUE(c.pointer(event(PointerEvent::Kind::Release, 300, target), kArea, 1));
  EXPECT_FALSE(c.pointer(event(PointerEvent::Kind::Move, 300, 30), kArea, 1));
}

TEST(RangeControl, HandlesNeverPassEachOther) {
  RangeControl c = control();
  c.drag(RangeControl::Handle::Black, kArea.y - 1000, kArea);
  EXPECT_LT(c.range.black, c.range.white);
  EXPECT_EQ(c.range.white, -1);
  c.drag(RangeControl::Handle::White, kArea.bottom() + 1000, kArea);
  EXPECT_GT(c.range.white, c.range.black);
}

TEST(AxisTicks, AreRoundAndInside) {
  EXPECT_EQ(axis_ticks(-6.2, 0.1, kLog, 10), (std::vector<double>{-6, -5, -4, -3, -2, -1, 0}));
  EXPECT_EQ(axis_ticks(0, 1, ValueScale{}, 5), (std::vector<double>{0, 0.2, 0.4, 0.6000000000000001, 0.8, 1}));
  EXPECT_TRUE(axis_ticks(1, 1, ValueScale{}, 5).empty());
}

}  // namespace
}  // namespace ditscope::views
