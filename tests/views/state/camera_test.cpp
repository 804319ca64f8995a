#include "views/state/camera.h"

#include <gtest/gtest.h>

#include <cmath>

using namespace ditscope::views;

namespace {
const Rect kPane{100, 50, 400, 300};
}

TEST(Camera, FitShowsTheWholeImageCentredWhicheverSideIsTight) {
  const Camera wide = fit(kPane, 800, 300);
  EXPECT_DOUBLE_EQ(wide.scale, 0.5);
  EXPECT_DOUBLE_EQ(wide.to_view({0, 0}, kPane).x, 100);
  EXPECT_DOUBLE_EQ(wide.to_view({0, 0}, kPane).y, 50 + 75);
  EXPECT_DOUBLE_EQ(fit(kPane, 100, 600).scale, 0.5);
}

TEST(Camera, EightNotchesDoubleTheScaleAndTheImagePointUnderTheCursorStays) {
  const Camera before = fit(kPane, 256, 256);
  const Point cursor{140, 330};
  const Point held = before.to_image(cursor, kPane);
  const Camera after = zoom_about(before, kPane, cursor, 8);
  EXPECT_NEAR(after.scale, 2 * before.scale, 1e-12);
  EXPECT_NEAR(after.to_image(cursor, kPane).x, held.x, 1e-9);
  EXPECT_NEAR(after.to_image(cursor, kPane).y, held.y, 1e-9);
  EXPECT_FALSE(after.fitted);
}

TEST(Camera, AllPanesOfAViewShowTheSameImagePointAtTheSamePlace) {
  const Rect other{520, 50, 400, 300};
  const Camera camera = zoom_about(fit(kPane, 256, 256), kPane, {140, 330}, 13);
  const Point a = camera.to_image({kPane.x + 33, kPane.y + 44}, kPane), b = camera.to_image({other.x + 33, other.y + 44}, other);
  EXPECT_DOUBLE_EQ(a.x, b.x);
  EXPECT_DOUBLE_EQ(a.y, b.y);
}

TEST(Camera, ZoomStopsAtItsLimits) {
  Camera camera = fit(kPane, 256, 256);
  EXPECT_DOUBLE_EQ(zoom_about(camera, kPane, {200, 200}, 1000).scale, kLargestScale);
  EXPECT_DOUBLE_EQ(zoom_about(camera, kPane, {200, 200}, -1000).scale, kSmallestScale);
}

TEST(Camera, PanningNeverLosesTheImage) {
  Camera camera = fit(kPane, 256, 256);
  for (int i = 0; i < 100; ++i) camera = pan(camera, kPane, {300, -300}, 256, 256);
  const Point left_top = camera.to_view({0, 0}, kPane), right_bottom = camera.to_view({256, 256}, kPane);
  EXPECT_LT(left_top.x, kPane.right());
  EXPECT_GT(right_bottom.y, kPane.y);
}

TEST(Camera, OneToOneCountsDevicePixels) {
  EXPECT_DOUBLE_EQ(one_to_one(256, 256, 2.0).scale, 0.5);
}

TEST(Camera, OnlyAFittedCameraFollowsThePane) {
  const Rect smaller{0, 0, 100, 100};
  EXPECT_NEAR(follow(fit(kPane, 256, 256), smaller, 256, 256).scale, 100.0 / 256, 1e-12);
  const Camera zoomed = zoom_about(fit(kPane, 256, 256), kPane, {200, 200}, 3);
  EXPECT_DOUBLE_EQ(follow(zoomed, smaller, 256, 256).scale, zoomed.scale);
}
