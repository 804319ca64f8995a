// Outputs: lasso and click to tokens, differences of pixels, where a token looks, panes.
#include <gtest/gtest.h>

#include <cmath>

#include "kernels/error.h"
#include "tests/support/temporary_folder.h"
#include "tests/views/inspect/inspect_support.h"
#include "tests/views/inspect/plot_capture.h"
#include "tests/views/inspect/recording_canvas.h"
#include "views/inspect/outputs_bitmaps.h"
#include "views/inspect/outputs_difference.h"
#include "views/inspect/outputs_look.h"
#include "views/inspect/outputs_panes.h"
#include "views/inspect/outputs_picking.h"
#include "views/inspect/views.h"

namespace ditscope::views {
namespace {

CaptureRun run_of(bool position_major = false) {
  CaptureRun run;
  run.branches = {"conditional"};
  run.steps = 1;
  run.text_tokens = 4;
  run.grid_frames = 3, run.grid_rows = 4, run.grid_columns = 4;
  run.frames = 9, run.width_px = run.height_px = 16;
  run.prompt = "a red cat";
  run.words = R"([[[1,"a",0,1],[2,"red",2,5],[3,"cat",6,9]]])";
  if (position_major) run.token_order = "position_major";
  return run;
}

Frames clip(int frames, int side, float value) {
  Frames f{frames, side, side, 8, {}};
  f.rgb.assign(f.frame_size() * frames, value);
  return f;
}

TEST(Lasso, TakesTheTokensWhoseMiddleIsInside) {
  const TokenGeometry geometry(run_of());
  // Around the middles of columns 1 and 2 of row 0 (tokens are 4 x 4 px).
  const auto tokens = lasso_tokens(geometry, 0, {{4.5, 1}, {11.5, 1}, {11.5, 3}, {4.5, 3}});
  EXPECT_EQ(tokens, (std::vector<std::int64_t>{geometry.token(0, 0, 1), geometry.token(0, 0, 2)}));
  EXPECT_TRUE(lasso_tokens(geometry, 0, {{4.5, 1}, {5.5, 1}, {5.5, 3}}).empty());
  EXPECT_TRUE(lasso_tokens(geometry, 0, {}).empty());
}

TEST(Lasso, OfAFrameOfTheVideoTakesTokensOfItsGridFrame) {
  const TokenGeometry geometry(run_of());
  const std::vector<Point> all = {{-1, -1}, {17, -1}, {17, 17}, {-1, 17}};
  for (int frame = 0; frame < 9; ++frame) {
    const auto tokens = lasso_tokens(geometry, frame, all);
    ASSERT_EQ(tokens.size(), 16U);
    for (const std::int64_t token : tokens) {
      EXPECT_EQ(geometry.place(token).frame, geometry.grid_frame(frame));
      // And back: the middle of what it covers is that token.
      const Rect area = geometry.pixels(token).area;
      EXPECT_EQ(geometry.token_at(frame, area.x + area.width / 2, area.y + area.height / 2), token);
    }
  }
}

TEST(PixelDifference, IsWhatItsFormulaSays) {
  EXPECT_DOUBLE_EQ(pixel_difference(PixelDifference::Signed, 0.5, 0.25), -0.25);
  EXPECT_DOUBLE_EQ(pixel_difference(PixelDifference::Absolute, 0.5, 0.25), 0.25);
  EXPECT_DOUBLE_EQ(pixel_difference(PixelDifference::Square, 0.5, 0.25), 0.0625);
  EXPECT_NEAR(pixel_difference(PixelDifference::Relative, 0.5, 0.25), 0.25 / 0.51, 1e-12);
  EXPECT_NEAR(pixel_difference(PixelDifference::Relative, 0, 0.01), 1, 1e-12);
  for (const auto& name : pixel_difference_names()) EXPECT_NO_THROW(pixel_difference_of(name));
  EXPECT_THROW(pixel_difference_of("cube"), Error);
}

TEST(DifferenceBitmap, ShowsAKnownDifferenceAtItsPixel) {
  Frames a = clip(1, 4, 0.5F), b = a;
  b.rgb[3 * (4 * 2 + 1) + 1] = 0.75F;  // green of row 2, column 1
  const Theme& theme = theme_for_tests();
  const auto absolute = difference_bitmap(PixelDifference::Absolute, a, 0, b, 0, 0.5, theme);
  EXPECT_EQ(absolute->rgba[4 * 9 + 1], 128);
  EXPECT_EQ(absolute->rgba[4 * 9], 0);
  EXPECT_EQ(absolute->rgba[4 * 8 + 1], 0);
  const auto same = difference_bitmap(PixelDifference::Signed, a, 0, a, 0, 0.5, theme);
  const Rgb zero = theme.colour("zero");
  EXPECT_NEAR(same->rgba[0], zero.r * 255, 2);
  b.rgb[0] = std::nanf("");
  EXPECT_EQ(difference_bitmap(PixelDifference::Absolute, a, 0, b, 0, 1, theme)->rgba[0], 255);
  EXPECT_EQ(difference_bitmap(PixelDifference::Absolute, a, 0, b, 0, 1, theme)->rgba[1], 0);
  EXPECT_EQ(difference_bitmap(PixelDifference::Absolute, a, 0, clip(1, 5, 0), 0, 1, theme), nullptr);
}

TEST(DifferenceP99, IsOfTheShiftedPairAndNeverZeroForEqualClips) {
  Frames a = clip(3, 8, 0.5F), b = a;
  EXPECT_GT(difference_p99(PixelDifference::Absolute, a, b, 0), 0);
  for (std::size_t i = 0; i < b.frame_size(); ++i) b.frame(1)[i] = 0.9F;
  EXPECT_NEAR(difference_p99(PixelDifference::Absolute, a, b, 0), 0.4, 1e-6);
  EXPECT_NEAR(difference_p99(PixelDifference::Square, a, b, 0), 0.16, 1e-6);
  EXPECT_NEAR(difference_p99(PixelDifference::Relative, a, b, 0), 0.4 / 0.51, 1e-6);
  EXPECT_LT(difference_p99(PixelDifference::Relative, a, b, 2), 0.1);  // frame 0 meets frame 2 alone
  EXPECT_EQ(difference_p99(PixelDifference::Relative, a, clip(3, 4, 0), 0), 0);
}

TEST(DifferenceText, WritesFormulaRangeAndItsOrigin) {
  EXPECT_EQ(difference_text(PixelDifference::Absolute, "A", "B", 0.31, false), "|B - A|, 0 to 0.31, p99");
  EXPECT_EQ(difference_text(PixelDifference::Signed, "A", "B", 0.5, true), "B - A, -0.5 to +0.5, fixed");
  EXPECT_EQ(difference_text(PixelDifference::Relative, "A", "B", 2, true), "|B - A| / (A + 0.01), 0 to 2, fixed");
}

TEST(FrameBitmaps, RoundTheFrameAndKeepIt) {
  auto frames = std::make_shared<Frames>(clip(2, 2, 0.2F));
  frames->rgb[0] = std::nanf("");
  frames->rgb[3] = INFINITY;
  FrameBitmaps cache(4);
  const std::shared_ptr<const Frames> shared = frames;
  const auto first = cache.get(shared, 0);
  EXPECT_EQ(first, cache.get(shared, 0));
  EXPECT_NE(first, cache.get(shared, 1));
  EXPECT_EQ(first->rgba[0], 255);  // NaN is red
  EXPECT_EQ(first->rgba[1], 0);
  EXPECT_EQ(first->rgba[5], 255);  // infinity is green
  EXPECT_EQ(first->rgba[8], 51);
  const std::shared_ptr<const Frames> other = std::make_shared<Frames>(clip(9, 2, 1));
  for (int f = 0; f < 9; ++f) cache.get(other, f);
  EXPECT_NE(first, cache.get(shared, 0));  // forgotten, made again
}

TEST(TokenLook, SumsTextAndFindsTheLargestVisualWeight) {
  const TokenGeometry geometry(run_of());
  std::vector<float> weight(geometry.tokens(), 0);
  weight[1] = 0.3F;
  weight[3] = 0.2F;
  weight[geometry.token(1, 2, 3)] = 0.4F;
  const TokenLook look = look_of(weight, geometry, "exact");
  EXPECT_NEAR(look.text_mass, 0.5, 1e-6);
  EXPECT_NEAR(look.most_visual, 0.4, 1e-6);
  const auto words = word_weights(look, geometry.words(0));
  ASSERT_EQ(words.size(), 3U);
  EXPECT_NEAR(words[0], 0, 1e-6);
  EXPECT_NEAR(words[1], 0.3, 1e-6);
  const auto bitmap = look_bitmap(look, geometry, 1, theme_for_tests());
  ASSERT_EQ(bitmap->width, 4);
  const auto alpha = [&](int row, int column) { return bitmap->rgba[4 * (4 * row + column) + 3]; };
  EXPECT_GT(alpha(2, 3), 200);
  EXPECT_LT(alpha(2, 2), 60);
}

TEST(TokenLook, OfAMapSpreadsEachCellOverItsTokens) {
  for (const bool position_major : {false, true}) {
    const CaptureRun run = run_of(position_major);
    const TokenGeometry geometry(run);
    Inspection::Map map;
    map.edges = {0, 4, 28, 52};
    map.cells = 3;
    map.values = {1, 0, 0, 0.1F, 0.6F, 0.3F, 0, 0, 1};
    const std::vector<float> weight = spread_map(map, geometry, {geometry.from_call(10)}, false);
    double sum = 0;
    for (const float value : weight) sum += value;
    EXPECT_NEAR(sum, 1, 1e-5);
    EXPECT_NEAR(weight[geometry.from_call(20)], 0.6 / 24, 1e-6);
    EXPECT_NEAR(weight[geometry.from_call(51)], 0.3 / 24, 1e-6);
    EXPECT_NEAR(weight[0], 0.1 / 4, 1e-6);
  }
}

TEST(TilePanes, FillTheAreaWithoutOverlap) {
  for (int count = 1; count <= 7; ++count) {
    const Rect area{10, 20, 400, 300};
    const auto panes = tile_panes(area, count, 1.0, 4);
    ASSERT_EQ(static_cast<int>(panes.size()), count);
    for (int i = 0; i < count; ++i) {
      EXPECT_GE(panes[i].x, area.x);
      EXPECT_LE(panes[i].right(), area.right() + 1e-9);
      EXPECT_LE(panes[i].bottom(), area.bottom() + 1e-9);
      for (int j = 0; j < i; ++j) {
        const bool apart = panes[j].right() < panes[i].x || panes[i].right() < panes[j].x || panes[j].bottom() < panes[i].y || panes[i].bottom() < panes[j].y;
        EXPECT_TRUE(apart);
      }
    }
  }
  EXPECT_EQ(tile_panes({0, 0, 300, 310}, 2, 1, 4)[1].y, 0);  // side by side where wide
  EXPECT_EQ(tile_panes({0, 0, 100, 400}, 2, 1, 4)[1].x, 0);  // under each other where tall
}

TEST(PixelText, IsOfThePixelUnderThePoint) {
  Frames frames = clip(1, 2, 0);
  frames.rgb = {0, 0, 0, 1, 0.5F, 0, 0, 0, 0, std::nanf(""), 0, 0};
  EXPECT_EQ(pixel_text(frames, 0, {1.9, 0.1}), "255 128   0");
  EXPECT_EQ(pixel_text(frames, 0, {1.5, 1.5}), "NaN   0   0");
  EXPECT_EQ(pixel_text(frames, 0, {2, 0}), "");
  EXPECT_EQ(pixel_text(frames, 0, {-0.1, 0}), "");
}

class OutputsViewTest : public ::testing::Test {
 protected:
  void open(const PlotCapture& wanted = {}) {
    write_plot_capture(folder / "run.ditcap", wanted);
    inspection.open(folder / "run.ditcap");
    inspection.set_cursor({1, 3, 1, 1, 1});
  }
  ViewContext context(double width = 400, double height = 300) {
    return {inspection, inspection.cursor(), theme_for_tests(), {0, 0, width, height}, 1, 1, true, 0};
  }
  bool send(PointerEvent::Kind kind, Point at, bool shift = false, bool right = false) {
    PointerEvent event;
    event.kind = kind, event.at = at, event.left = !right, event.right = right, event.shift = shift;
    return view->pointer(event, context());
  }
  /// Where the picture of pane `index` lies, as painted.
  Rect picture(int index) {
    RecordingCanvas canvas;
    view->paint(canvas, context());
    return canvas.images.at(index).target;
  }
  test::TemporaryFolder folder;
  Inspection inspection{Inspection::Loading::AtOnce};
  std::unique_ptr<InspectView> view = make_outputs_view();
};

TEST_F(OutputsViewTest, AClickLocksTheTokenUnderIt) {
  open();
  const Rect at = picture(0);
  const TokenGeometry& geometry = inspection.run(0).geometry;
  for (const auto& [row, column] : {std::pair(0, 0), std::pair(1, 2), std::pair(3, 3)}) {
    const Point point{at.x + (column + 0.5) / 4 * at.width, at.y + (row + 0.5) / 4 * at.height};
    send(PointerEvent::Kind::Press, point);
    send(PointerEvent::Kind::Release, point);
    ASSERT_EQ(inspection.locked(), std::vector<std::int64_t>{geometry.token(0, row, column)});
  }
  const Point corner{at.x + 1, at.y + 1};
  send(PointerEvent::Kind::Press, corner, true);
  send(PointerEvent::Kind::Release, corner, true);
  EXPECT_EQ(inspection.locked().size(), 2U);
}

TEST_F(OutputsViewTest, ADragLassoesWhatItGoesAround) {
  open();
  const Rect at = picture(0);
  const auto point = [&](double x, double y) { return Point{at.x + x * at.width, at.y + y * at.height}; };
  send(PointerEvent::Kind::Press, point(0.01, 0.01));
  for (const Point& to : {point(0.49, 0.01), point(0.49, 0.49), point(0.01, 0.49)}) send(PointerEvent::Kind::Move, to);
  send(PointerEvent::Kind::Release, point(0.01, 0.49));
  const TokenGeometry& geometry = inspection.run(0).geometry;
  EXPECT_EQ(inspection.locked(), (std::vector<std::int64_t>{geometry.token(0, 0, 0), geometry.token(0, 0, 1), geometry.token(0, 1, 0), geometry.token(0, 1, 1)}));
}

TEST_F(OutputsViewTest, TheLockedTokenIsABoxOnEveryOutput) {
  open();
  inspection.lock(inspection.run(0).geometry.token(0, 1, 2), false);
  RecordingCanvas canvas;
  view->paint(canvas, context());
  for (int pane = 0; pane < 2; ++pane) {
    const Rect at = canvas.images.at(pane == 0 ? 0 : 1).target;
    const double x = at.x + 0.5 * at.width, y = at.y + 0.25 * at.height;
    const bool there = std::any_of(canvas.outlines.begin(), canvas.outlines.end(), [&](const RecordingCanvas::Shape& shape) {
      return std::fabs(shape.rect.x - x) < 1e-6 && std::fabs(shape.rect.y - y) < 1e-6 && std::fabs(shape.rect.width - at.width / 4) < 1e-6;
    });
    EXPECT_TRUE(there) << pane;
  }
  EXPECT_EQ(canvas.clips, 0);
}

TEST_F(OutputsViewTest, ZoomKeepsThePointUnderThePointerAndPanMoves) {
  open();
  const Rect before = picture(0);
  const Point at{before.x + 0.3 * before.width, before.y + 0.6 * before.height};
  PointerEvent wheel;
  wheel.kind = PointerEvent::Kind::Wheel, wheel.at = at, wheel.notches = 8;
  view->pointer(wheel, context());
  const Rect zoomed = picture(0);
  EXPECT_NEAR(zoomed.width, 2 * before.width, 1e-6);
  EXPECT_NEAR(zoomed.x + 0.3 * zoomed.width, at.x, 1e-6);
  EXPECT_NEAR(zoomed.y + 0.6 * zoomed.height, at.y, 1e-6);
  send(PointerEvent::Kind::Press, at, false, true);
  send(PointerEvent::Kind::Move, {at.x + 10, at.y - 5}, false, true);
  send(PointerEvent::Kind::Release, {at.x + 10, at.y - 5}, false, true);
  EXPECT_NEAR(picture(0).x, zoomed.x + 10, 1e-6);
  EXPECT_NEAR(picture(0).y, zoomed.y - 5, 1e-6);
  EXPECT_TRUE(view->key("F", context()));
  EXPECT_NEAR(picture(0).x, before.x, 1e-6);
}

TEST_F(OutputsViewTest, ValuesStandInThePixelsFromFiftyPx) {
  open();
  RecordingCanvas far;
  view->paint(far, context(1200, 300));
  EXPECT_FALSE(std::any_of(far.texts.begin(), far.texts.end(), [](const auto& text) { return text.text == "150"; }));
  PointerEvent wheel;
  wheel.kind = PointerEvent::Kind::Wheel, wheel.at = {60, 40}, wheel.notches = 28;
  view->pointer(wheel, context());
  RecordingCanvas near;
  view->paint(near, context());
  int numbers = 0;
  for (const auto& text : near.texts) numbers += !text.text.empty() && text.text.size() <= 3 && std::isdigit(text.text[0]) ? 1 : 0;
  EXPECT_GE(numbers, 12);
}

TEST_F(OutputsViewTest, ValuesAreOfTheRunThatIsSeen) {
  open();
  view->set_control("mode", "wipe");
  view->paint(*std::make_unique<RecordingCanvas>(), context());
  PointerEvent wheel;
  wheel.kind = PointerEvent::Kind::Wheel, wheel.at = {200, 60}, wheel.notches = 28;
  view->pointer(wheel, context());
  // Red is 0 in frame 0 of A, 10 in B: the first of the three lines of a pixel.
  const auto reds = [&] {
    RecordingCanvas canvas;
    view->paint(canvas, context());
    std::vector<RecordingCanvas::Text> found;
    for (std::size_t i = 0; i + 2 < canvas.texts.size(); ++i) {
      const auto &a = canvas.texts[i], &b = canvas.texts[i + 1], &c = canvas.texts[i + 2];
      if (a.at.x == b.at.x && b.at.x == c.at.x && b.at.y - a.at.y == 14 && c.at.y - b.at.y == 14) found.push_back(a);
    }
    return found;
  };
  int of_a = 0, of_b = 0;
  for (const auto& text : reds()) {
    EXPECT_EQ(text.text, text.at.x < 200 ? "0" : "10") << text.at.x;
    ++(text.at.x < 200 ? of_a : of_b);
  }
  EXPECT_GE(of_a, 2);
  EXPECT_GE(of_b, 2);
  view->set_control("mode", "fade");
  view->set_control("fade", "0.5");
  ASSERT_FALSE(reds().empty());
  for (const auto& text : reds()) EXPECT_EQ(text.text, "5") << "half of both";
  inspection.set_locked({inspection.run(0).geometry.token(0, 1, 1)});
  RecordingCanvas canvas;
  view->paint(canvas, context());
  EXPECT_TRUE(std::any_of(canvas.texts.begin(), canvas.texts.end(), [](const auto& text) { return text.text.rfind("A   0", 0) == 0 && text.text.find("  B  10") != std::string::npos; }))
      << "and the readout has both";
}

TEST_F(OutputsViewTest, DifferenceWritesItsRangeOnThePicture) {
  open();
  view->set_control("mode", "difference");
  view->set_control("range", "0.5");
  RecordingCanvas canvas;
  view->paint(canvas, context());
  EXPECT_TRUE(canvas.has_text("|B - A|, 0 to 0.5, fixed"));
  // Run B is 10/255 lighter everywhere.
  const auto& rgba = canvas.images.at(0).bitmap->rgba;
  EXPECT_NEAR(rgba[0], 10.0 / 255 / 0.5 * 255, 1.01);
}

TEST_F(OutputsViewTest, PlaybackMovesWithTheClockAndFramesShift) {
  open();
  view->set_control("shift_b", "2");
  RecordingCanvas still;
  view->paint(still, context());
  EXPECT_EQ(still.images.at(0).bitmap->rgba[0], 0);        // frame 0 of A
  EXPECT_EQ(still.images.at(1).bitmap->rgba[0], 40 + 10);  // frame 2 of B
  EXPECT_FALSE(view->animated());
  view->key("Space", context());
  EXPECT_TRUE(view->animated());
  ViewContext later = context();
  later.seconds = 3.0 / 8;
  RecordingCanvas moved;
  view->paint(moved, later);
  EXPECT_EQ(moved.images.at(0).bitmap->rgba[0], 60);
  view->key("Space", context());
  view->key(".", context());
  EXPECT_FALSE(view->animated());
  for (const Control& control : view->controls(context())) {
    if (control.name == "frame") {
      EXPECT_EQ(control.value, "4");
    }
  }
}

TEST_F(OutputsViewTest, EveryModePaintsWithOneRunWithTwoAndWithoutFrames) {
  PlotCapture one, none;
  one.runs = 1;
  none.with_frames = false;
  int n = 0;
  for (const PlotCapture& wanted : {PlotCapture{}, one, none}) {
    const auto file = folder / ("m" + std::to_string(n++) + ".ditcap");
    write_plot_capture(file, wanted);
    inspection.close_all();
    inspection.open(file);
    inspection.set_locked({6});
    const auto fresh = make_outputs_view();
    for (const Control& control : fresh->controls(context())) {
      for (const std::string& choice : control.choices) {
        fresh->set_control(control.name, choice);
        for (const double width : {280.0, 900.0}) {
          RecordingCanvas canvas;
          fresh->paint(canvas, context(width, width));
          EXPECT_EQ(canvas.clips, 0);
        }
      }
    }
    if (!wanted.with_frames) {
      RecordingCanvas canvas;
      fresh->paint(canvas, context());
      EXPECT_FALSE(canvas.texts.empty());
    }
  }
}

}  // namespace
}  // namespace ditscope::views
