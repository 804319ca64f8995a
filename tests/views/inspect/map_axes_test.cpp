#include "views/inspect/map_axes.h"

#include <gtest/gtest.h>

#include <random>

#include "kernels/error.h"

namespace ditscope::views {
namespace {

CaptureRun run_of(int frames, int rows, int columns, int text, bool text_first = true, bool position_major = false) {
  CaptureRun run;
  run.branches = {"conditional"};
  run.frames = frames, run.width_px = columns * 16, run.height_px = rows * 16;
  run.grid_frames = frames, run.grid_rows = rows, run.grid_columns = columns, run.text_tokens = text, run.text_first = text_first;
  run.token_order = position_major ? "position_major" : "frame_major";
  return run;
}

const Rect kPlot{37, 21, 511, 511};

TEST(AxisRuns, JoinEquallyLongCells) {
  const std::vector<AxisRun> runs = axis_runs({0, 64, 128, 150, 214, 278, 300});
  ASSERT_EQ(runs.size(), 4u);
  EXPECT_EQ(runs[0].cell_end, 2);
  EXPECT_EQ(runs[1].begin, 128);
  EXPECT_EQ(runs[2].cell_begin, 3);
  EXPECT_EQ(runs[3].end, 300);
}

TEST(MapAxes, PickingGoesFromPixelToTokenAndBackExactly) {
  for (const bool position_major : {false, true}) {
    for (const bool raster : {false, true}) {
      const TokenGeometry geometry(run_of(9, 16, 16, 32, true, position_major));
      MapAxes axes;
      axes.lay_out(geometry, kPlot, Quadrant::All, raster);
      std::mt19937 random(1);
      for (int i = 0; i < 40; ++i) {
        auto token = std::uniform_int_distribution<std::int64_t>(0, geometry.tokens() - 1);
        const std::int64_t query = token(random), key = token(random);
        // Zoom about the pair until it is as large as it goes: then it lies under its own pixels, whatever the zoom before.
        PointerEvent wheel;
        wheel.kind = PointerEvent::Kind::Wheel;
        wheel.notches = 5;
        bool clicked = false;
        axes.fit();
        for (int zoom = 0; zoom < 12; ++zoom) {
          const Rect row = axes.query_line(query), column = axes.key_line(key);
          const Point middle{axes.x_of(static_cast<double>(axes.place_of(key)) + 0.5), axes.y_of(static_cast<double>(axes.place_of(query)) + 0.5)};
          const auto picked = axes.pick(middle);
          ASSERT_TRUE(picked);
          EXPECT_EQ(picked->query, query);
          EXPECT_EQ(picked->key, key);
          EXPECT_LE(row.y, middle.y);
          EXPECT_GE(column.right(), middle.x);
          wheel.at = middle;
          ASSERT_TRUE(axes.pointer(wheel, 1, &clicked));
          EXPECT_NEAR(axes.x_of(static_cast<double>(axes.place_of(key)) + 0.5), middle.x, 1e-6) << "what is under the mouse stays there";
        }
        EXPECT_GE(axes.key_px(), 20);
      }
    }
  }
}

TEST(MapAxes, EveryPixelOfAWholeMapBelongsToTheTokenThatCoversIt) {
  const TokenGeometry geometry(run_of(2, 3, 4, 5));
  MapAxes axes;
  axes.lay_out(geometry, kPlot, Quadrant::All, true);
  for (double y = kPlot.y + 0.5; y < kPlot.bottom(); y += 1) {
    const auto pair = axes.pick({kPlot.x + 10.5, y});
    ASSERT_TRUE(pair);
    EXPECT_EQ(pair->query, static_cast<std::int64_t>((y - kPlot.y) / kPlot.height * static_cast<double>(geometry.tokens())));
  }
  EXPECT_FALSE(axes.pick({kPlot.x - 1, kPlot.y + 5}));
}

TEST(MapAxes, ALongVideoCanBeSeenWholeAndByTheToken) {
  const TokenGeometry geometry(run_of(33, 60, 60, 256));  // 119,056
  MapAxes axes;
  axes.lay_out(geometry, {0, 0, 200, 200}, Quadrant::All, true);
  EXPECT_NEAR(axes.x_of(0), 0, 1e-6);
  EXPECT_NEAR(axes.x_of(static_cast<double>(geometry.tokens())), 200, 1e-6);
  PointerEvent wheel;
  wheel.kind = PointerEvent::Kind::Wheel;
  wheel.at = {100.25, 77.75};
  wheel.notches = 400;
  bool clicked = false;
  axes.pointer(wheel, 1, &clicked);
  EXPECT_GE(axes.key_px(), 12) << "a token is large enough to be hit";
}

TEST(MapAxes, WheelZoomsByTheEighthRootOfTwoShiftFinerControlCoarser) {
  const TokenGeometry geometry(run_of(2, 8, 8, 4));
  for (const auto& [shift, control, notches] : {std::tuple{false, false, 8.0}, {true, false, 64.0}, {false, true, 1.0}}) {
    MapAxes axes;
    axes.lay_out(geometry, kPlot, Quadrant::All, true);
    const double before = axes.key_px();
    PointerEvent wheel;
    wheel.kind = PointerEvent::Kind::Wheel;
    wheel.at = {100, 100};
    wheel.notches = notches;
    wheel.shift = shift;
    wheel.control = control;
    bool clicked = false;
    axes.pointer(wheel, 1, &clicked);
    EXPECT_NEAR(axes.key_px() / before, 2, 1e-9);
  }
}

TEST(MapAxes, AQuadrantFillsThePlotAndPicksOnlyItsTokens) {
  for (const bool text_first : {true, false}) {
    const TokenGeometry geometry(run_of(2, 8, 8, 16, text_first));
    MapAxes axes;
    axes.lay_out(geometry, kPlot, Quadrant::TextToVideo, true);
    const auto pair = axes.pick({kPlot.x + 1, kPlot.y + 1});
    ASSERT_TRUE(pair);
    EXPECT_TRUE(geometry.is_text(pair->query));
    EXPECT_FALSE(geometry.is_text(pair->key));
    const auto last = axes.pick({kPlot.right() - 1, kPlot.bottom() - 1});
    ASSERT_TRUE(last);
    EXPECT_TRUE(geometry.is_text(last->query));
    EXPECT_EQ(last->key, geometry.visual_begin() + geometry.visual_tokens() - 1);
  }
  EXPECT_THROW(parse_quadrant("X->T"), Error);
}

TEST(MapAxes, AClickIsAPressAndAReleaseAtOnePlaceADragPans) {
  const TokenGeometry geometry(run_of(2, 8, 8, 16));
  MapAxes axes;
  axes.lay_out(geometry, kPlot, Quadrant::All, true);
  PointerEvent event;
  event.left = true;
  event.at = {100, 100};
  bool clicked = false;
  const auto send = [&](PointerEvent::Kind kind, Point at) {
    event.kind = kind;
    event.at = at;
    return axes.pointer(event, 1, &clicked);
  };
  send(PointerEvent::Kind::Press, {100, 100});
  send(PointerEvent::Kind::Release, {101, 100});
  EXPECT_TRUE(clicked);
  const double before = axes.x_of(0);
  send(PointerEvent::Kind::Press, {100, 100});
  EXPECT_TRUE(send(PointerEvent::Kind::Move, {130, 100}));
  EXPECT_NEAR(axes.x_of(0), before + 30, 1e-9);
  send(PointerEvent::Kind::Release, {130, 100});
  EXPECT_FALSE(clicked);
}

TEST(MapAxes, OneTokenAndNoTextAreAxesToo) {
  const TokenGeometry geometry(run_of(1, 1, 1, 0));
  MapAxes axes;
  axes.lay_out(geometry, kPlot, Quadrant::All, true);
  const auto pair = axes.pick({kPlot.x + 200, kPlot.y + 300});
  ASSERT_TRUE(pair);
  EXPECT_EQ(pair->query, 0);
  EXPECT_EQ(pair->key, 0);
  EXPECT_EQ(axes.marks().size(), 1u);
}

}  // namespace
}  // namespace ditscope::views
