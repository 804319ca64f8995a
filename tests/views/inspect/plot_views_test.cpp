// The plots on a capture whose figures are known: what is drawn where, what is not, and where clicks lead.
#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <condition_variable>
#include <mutex>

#include "core/history/sqlite.h"
#include "kernels/error.h"
#include "tests/support/temporary_folder.h"
#include "tests/views/inspect/inspect_support.h"
#include "tests/views/inspect/plot_capture.h"
#include "tests/views/inspect/recording_canvas.h"
#include "views/inspect/drift_series.h"
#include "views/inspect/plot_paint.h"
#include "views/inspect/timeline_view.h"
#include "views/inspect/views.h"

namespace ditscope::views {
namespace {

const char* const kViews[] = {"drift", "histogram", "violin", "layer_head", "error", "timeline", "outputs"};

class PlotViews : public ::testing::Test {
 protected:
  void open(const PlotCapture& capture = {}) {
    wanted = capture;
    write_plot_capture(folder / "run.ditcap", capture);
    inspection.open(folder / "run.ditcap");
    inspection.set_cursor({1, 4, 1, 1, 1});
  }
  ViewContext context(double width = 700, double height = 500) {
    return {inspection, inspection.cursor(), theme_for_tests(), {0, 0, width, height}, 1, 1, true, 0};
  }
  RecordingCanvas painted(InspectView& view, double width = 700, double height = 500) {
    RecordingCanvas canvas;
    view.paint(canvas, context(width, height));
    EXPECT_EQ(canvas.clips, 0);
    return canvas;
  }
  bool press(InspectView& view, Point at) {
    PointerEvent event;
    event.kind = PointerEvent::Kind::Press, event.at = at, event.left = true;
    return view.pointer(event, context());
  }
  PlotCapture wanted;
  test::TemporaryFolder folder;
  Inspection inspection{Inspection::Loading::AtOnce};
};

TEST_F(PlotViews, RowSeriesHoldWhatWasCaptured) {
  open();
  const auto rows = row_series(inspection, inspection.cursor(), false);
  ASSERT_TRUE(rows) << rows.problem;
  const double middle = (wanted.tokens() - 1) / 2.0;
  for (int step = 0; step < wanted.steps; ++step) {
    EXPECT_NEAR(rows->lse_full[step], 10 + 0.1 * step + 0.01 * middle, 2e-3);
    EXPECT_EQ(rows->steps[step].measured, wanted.tokens());
    if (step < 2) {
      EXPECT_TRUE(std::isnan(rows->rho[step]));
      EXPECT_TRUE(std::isnan(rows->lse_kept[step]));
    } else {
      EXPECT_NEAR(rows->rho[step], wanted.rho(step), 2e-3);
      EXPECT_NEAR(rows->lse_kept[step], rows->lse_full[step] + std::log(wanted.rho(step)), 3e-3);
    }
    if (step < 3) {
      EXPECT_TRUE(std::isnan(rows->rho_used[step])) << step;
    } else {
      EXPECT_NEAR(rows->rho_used[step], wanted.rho_used(step), 2e-3);
      EXPECT_NEAR(rows->ratio[step], wanted.rho_used(step) / wanted.rho(step), 4e-3);
    }
  }
}

TEST_F(PlotViews, ARowThatWasSampledIsTrackedWholeAndAnotherOneInPart) {
  open();
  const auto sampled = row_track(inspection, inspection.cursor(), 8);
  ASSERT_TRUE(sampled);
  EXPECT_EQ(sampled->token, 8);
  EXPECT_NEAR(sampled->rho_used[4], wanted.rho_used(4), 2e-3);
  EXPECT_NEAR(sampled->rho[4], wanted.rho(4), 2e-3);
  const auto other = row_track(inspection, inspection.cursor(), 9);
  EXPECT_EQ(other->token, 9);
  EXPECT_NEAR(other->lse_full[4], wanted.lse(4, 9), 2e-3);
  // Not captured for this row: its own rho at the refresh and what the sampled rows gained.
  EXPECT_NEAR(other->rho_used[4], wanted.rho_used(4), 3e-3);
  EXPECT_TRUE(std::isnan(other->rho_used[2]));
}

TEST_F(PlotViews, RowsOfLockedTokensAloneAreTheirs) {
  open();
  const auto rows = row_series(inspection, inspection.cursor(), false, {8, 12, 13});
  ASSERT_TRUE(rows);
  EXPECT_EQ(rows->steps[4].measured, 3);
  EXPECT_EQ(rows->steps[4].tokens, (std::vector<std::int64_t>{8, 12, 13}));
  EXPECT_NEAR(rows->lse_full[4], wanted.lse(4, 12), 1e-2);
  EXPECT_EQ(rows->steps[4].ratio_tokens, (std::vector<std::int64_t>{8, 12}));  // what was sampled of them
  EXPECT_NEAR(rows->difference[4], wanted.rho_used(4) - wanted.rho(4), 3e-3);
  // None of these was sampled: their rho at the refresh and what the sampled rows gained.
  const auto others = row_series(inspection, inspection.cursor(), false, {9, 13});
  EXPECT_EQ(others->steps[4].ratio_tokens, (std::vector<std::int64_t>{9, 13}));
  EXPECT_NEAR(others->rho_used[4], wanted.rho_used(4), 4e-3);
  EXPECT_NEAR(others->difference[4], wanted.rho_used(4) - wanted.rho(4), 4e-3);
  EXPECT_TRUE(std::isnan(others->rho_used[2]));
  EXPECT_NEAR(row_series(inspection, inspection.cursor(), false)->difference[5], wanted.rho_used(5) - wanted.rho(5), 3e-3);
}

TEST_F(PlotViews, DriftIsShownAsADifferenceOrAsRowMass) {
  open();
  const auto view = make_drift_view();
  view->set_control("measure", "difference");
  EXPECT_TRUE(painted(*view).has_text("0: no drift"));
  view->set_control("measure", "row mass");
  EXPECT_TRUE(painted(*view).has_text("1 + (k-1) lambda"));
  inspection.set_locked({8, 9, 12});
  view->set_control("rows", "locked");
  EXPECT_TRUE(painted(*view).has_text("of 3 locked rows"));
}

TEST(SharedGain, IsThereOnlyWhereAllRowsGainedTheSame) {
  const auto logs = [](std::vector<float> values) {
    for (float& value : values) value = std::log(value);
    return values;
  };
  const auto gain = shared_gain(logs({0.24F, 0.54F, 0.94F}), logs({0.2F, 0.5F, 0.9F}));
  ASSERT_TRUE(gain);
  EXPECT_NEAR(*gain, 0.04, 1e-6);
  EXPECT_FALSE(shared_gain(logs({0.24F, 0.6F}), logs({0.2F, 0.5F})));
  EXPECT_FALSE(shared_gain({}, {}));
  EXPECT_FALSE(shared_gain(logs({0.5F}), logs({0.5F, 0.5F})));
  EXPECT_FALSE(shared_gain({std::nanf("")}, {0}));
}

TEST_F(PlotViews, DriftDrawsEachMeasuredStepAtItsPixelAndBridgesNoGap) {
  open();
  const auto view = make_drift_view();
  const RecordingCanvas canvas = painted(*view);
  const Rgb used = theme_for_tests().run(1);
  const auto of_colour = [&](Rgb colour, std::size_t points) {
    std::vector<const RecordingCanvas::Line*> found;
    for (const auto& line : canvas.polylines) {
      if (line.points.size() == points && to_hex(line.colour.rgb) == to_hex(colour)) found.push_back(&line);
    }
    return found;
  };
  // The staircase of rho used: two points a measured step (3, 4, 5), one broken point for each of 0, 1, 2.
  const auto stairs = of_colour(used, 9);
  ASSERT_EQ(stairs.size(), 1U);
  for (int i = 0; i < 3; ++i) EXPECT_TRUE(std::isnan(stairs[0]->points[i].y));
  for (int i = 3; i < 9; ++i) EXPECT_TRUE(std::isfinite(stairs[0]->points[i].y));
  EXPECT_LT(stairs[0]->points[8].y, stairs[0]->points[3].y);  // rho used rises
  // LSE kept has one point a step; the full steps have none.
  const auto kept = of_colour(used, 6);
  ASSERT_GE(kept.size(), 1U);
  EXPECT_TRUE(std::isnan(kept[0]->points[0].y));
  EXPECT_TRUE(std::isfinite(kept[0]->points[2].y));
  // Columns are equal: step s lies in the middle of column s.
  const double column = kept[0]->points[3].x - kept[0]->points[2].x;
  EXPECT_NEAR(kept[0]->points[5].x - kept[0]->points[4].x, column, 1e-9);
  EXPECT_NEAR(stairs[0]->points[3].x, kept[0]->points[3].x - column / 2, 1e-9);
  EXPECT_TRUE(canvas.has_text("alarm 1.15"));
  EXPECT_TRUE(canvas.has_text("bands 10-90, 25-75 % of 52 rows"));
  EXPECT_TRUE(canvas.has_text("rows \u03c1\u0302 > 1"));
  EXPECT_GE(canvas.triangles.size(), 3U);  // a refresh mark in each plot
}

TEST_F(PlotViews, DriftSetsTheOtherGuidanceBranchDashedBesideItsOwn) {
  open();
  const auto view = make_drift_view();
  const auto dashed = [&](const RecordingCanvas& canvas) {
    return std::count_if(canvas.polylines.begin(), canvas.polylines.end(), [](const auto& line) { return line.dash == Dash::Dashed; });
  };
  const auto alone = dashed(painted(*view));
  view->set_control("against", "other branch");
  const RecordingCanvas both = painted(*view);
  EXPECT_EQ(dashed(both), alone + 3) << "LSE, rho and used over true of the unconditional branch";
  EXPECT_TRUE(both.has_text("true, other branch"));
}

TEST_F(PlotViews, DriftOfTheReferenceSaysThatNothingDrifts) {
  open();
  inspection.set_cursor({0, 4, 1, 1, 1});
  const auto view = make_drift_view();
  EXPECT_FALSE(painted(*view).polylines.empty());
}

TEST_F(PlotViews, ScrubbingThePlotsMovesTheStep) {
  open();
  for (const char* id : {"drift", "violin", "timeline"}) {
    const auto view = make_inspect_view(id);
    inspection.set_cursor({1, 0, 1, 1, 1});
    painted(*view);
    int last = -1, moved = 0;
    for (double x = 0; x < 700; x += 5) {
      press(*view, {x, 200});
      if (inspection.cursor().step != last) ++moved;
      EXPECT_GE(inspection.cursor().step, std::max(last, 0)) << id;
      last = inspection.cursor().step;
      PointerEvent up;
      up.kind = PointerEvent::Kind::Release;
      view->pointer(up, context());
    }
    EXPECT_EQ(last, wanted.steps - 1) << id;
    EXPECT_EQ(moved, wanted.steps) << id;
  }
}

TEST_F(PlotViews, TimelineBarsAreAsHighAsTheKeptRatio) {
  open();
  const auto view = make_timeline_view();
  const RecordingCanvas canvas = painted(*view, 900, 170);
  const Rgb run = theme_for_tests().run(1);
  std::vector<Rect> bars;
  for (const auto& fill : canvas.fills) {
    if (to_hex(fill.colour.rgb) == to_hex(run) && fill.rect.y < 60) bars.push_back(fill.rect);
  }
  ASSERT_EQ(bars.size(), 3U);  // the sparse steps
  const double lane = lay_out_timeline(context(900, 170), "all", timeline_columns(context(900, 170)).width / wanted.steps, 0).kept.height;
  for (const Rect& bar : bars) EXPECT_NEAR(bar.height, lane * 0.25, 1e-6);
  EXPECT_TRUE(canvas.has_text("refresh"));
  EXPECT_TRUE(canvas.has_text("full"));
  EXPECT_GE(canvas.images.size(), 6U);  // previews
}

TEST_F(PlotViews, TimelineArrowJumpsToTheFirstDivergence) {
  open();
  inspection.set_cursor({1, 0, 0, 0, 1});
  const auto view = make_timeline_view();
  view->set_control("tolerance", "0.013");
  const RecordingCanvas canvas = painted(*view, 900, 170);
  const auto text = std::find_if(canvas.texts.begin(), canvas.texts.end(), [](const auto& t) { return t.text.rfind("first divergence", 0) == 0; });
  ASSERT_NE(text, canvas.texts.end());
  EXPECT_EQ(text->text, "first divergence > 0.013: step 3, L1 H2");
  PointerEvent event;
  event.kind = PointerEvent::Kind::Press, event.left = true;
  event.at = {text->at.x + (text->style.horizontal == Align::End ? -20 : 20), text->at.y};
  EXPECT_TRUE(view->pointer(event, context(900, 170)));
  EXPECT_EQ(inspection.cursor().step, 3);
  EXPECT_EQ(inspection.cursor().layer, 1);
  EXPECT_EQ(inspection.cursor().head, 2);
}

TEST_F(PlotViews, TimelineZoomsAndComesBack) {
  open();
  const auto view = make_timeline_view();
  const auto numbers = [&] {
    int count = 0;
    for (const auto& text : painted(*view, 900, 170).texts) count += text.text == "0" || text.text == "5" ? 1 : 0;
    return count;
  };
  const std::size_t before = painted(*view, 900, 170).fills.size();
  EXPECT_EQ(numbers(), 2);
  for (int i = 0; i < 4; ++i) EXPECT_TRUE(view->key("W", context(900, 170)));
  EXPECT_NE(painted(*view, 900, 170).fills.size(), before);
  EXPECT_TRUE(view->key("D", context(900, 170)));
  EXPECT_TRUE(view->key("F", context(900, 170)));
  EXPECT_EQ(painted(*view, 900, 170).fills.size(), before);
  EXPECT_FALSE(view->key("Q", context(900, 170)));
}

TEST_F(PlotViews, TimelineShowsTheBookmarksOfItsRun) {
  write_plot_capture(folder / "run.ditcap");
  sqlite::Database(folder / "run.ditcap", sqlite::Database::Mode::ReadWrite)
      .execute("INSERT INTO bookmarks(created_utc,title,note,colour,run_id,step,layer,head,branch,view) VALUES"
               "('t','drift begins','','',2,3,1,0,1,'{}'), ('t','of run A','','',1,0,0,0,0,'{}')");
  const auto marks = CaptureReader(folder / "run.ditcap").bookmarks(2);
  ASSERT_EQ(marks.size(), 1U);
  EXPECT_EQ(marks[0].title, "drift begins");
  EXPECT_EQ(marks[0].step, 3);
  inspection.open(folder / "run.ditcap");
  const auto flags = [&] {
    int count = 0;
    for (const auto& fill : painted(*make_timeline_view(), 900, 170).fills) count += to_hex(fill.colour.rgb) == to_hex(theme_for_tests().colour("warn")) ? 1 : 0;
    return count;
  };
  inspection.set_cursor({1, 4, 1, 1, 1});
  EXPECT_EQ(flags(), 1);
}

TEST_F(PlotViews, ErrorLinkJumpsAndCellsMoveTheCursor) {
  open();
  inspection.set_cursor({1, 0, 0, 0, 1});
  const auto view = make_error_view();
  view->set_control("tolerance", "0.02");
  EXPECT_TRUE(painted(*view).has_text("First divergence: step 4, layer 0, head 2: 0.022 > 0.020"));
  EXPECT_TRUE(press(*view, {60, 10}));
  EXPECT_EQ(inspection.cursor().step, 4);
  EXPECT_EQ(inspection.cursor().head, 2);
  view->set_control("show", "error");
  EXPECT_TRUE(press(*view, {50, 60}));
  EXPECT_EQ(inspection.cursor().step, 0);
  EXPECT_EQ(inspection.cursor().layer, 0);
  EXPECT_TRUE(press(*view, {680, 430}));
  EXPECT_EQ(inspection.cursor().step, 5);
  EXPECT_EQ(inspection.cursor().layer, 1);
}

TEST_F(PlotViews, ErrorSetsWorkSkippedAgainstTimeSaved) {
  open();
  const auto view = make_error_view();
  view->set_control("show", "work");
  const RecordingCanvas canvas = painted(*view);
  // 3 of 6 steps do a quarter of the work in a quarter of the time.
  EXPECT_TRUE(canvas.has_text("work skipped 37.5 %, time saved 37.5 %"));
  EXPECT_EQ(canvas.circles.size(), 6U);  // layers x heads
}

TEST_F(PlotViews, LayerHeadPutsValuesInTheirCellsAndFollowsClicks) {
  open();
  const auto view = make_layer_head_view();
  view->set_control("quantity", "error_l1_ratio");
  const auto arrays = view->data(context());
  ASSERT_EQ(arrays.size(), 1U);
  EXPECT_EQ(arrays[0].shape, (std::vector<std::int64_t>{2, 3}));
  for (int layer = 0; layer < 2; ++layer) {
    for (int head = 0; head < 3; ++head) EXPECT_NEAR(arrays[0].values[layer * 3 + head], wanted.error(4, layer, head), 1e-9);
  }
  EXPECT_TRUE(press(*view, {680, 60}));
  EXPECT_EQ(inspection.cursor().layer, 0);
  EXPECT_EQ(inspection.cursor().head, 2);
  view->set_control("quantity", "lambda_over_rho");
  EXPECT_NEAR(view->data(context())[0].values[0], 0.04 / wanted.rho(4), 1e-9);
  view->set_control("quantity", "rho_used_over_true");
  EXPECT_NEAR(view->data(context())[0].values[0], wanted.rho_used(4) / wanted.rho(4), 1e-9);
}

TEST_F(PlotViews, LayerHeadDrawsKeptAsBarsAndRhoAsAMap) {
  open();
  const auto view = make_layer_head_view();
  view->set_control("quantity", "kept_ratio_achieved");
  EXPECT_TRUE(painted(*view).images.empty());
  view->set_control("quantity", "rho_true_mean");
  EXPECT_FALSE(painted(*view).images.empty());
}

TEST_F(PlotViews, LambdaOverRhoIsTheStepOfTheRampAgainstWhatIsThere) {
  open();
  const auto view = make_layer_head_view();
  view->set_control("quantity", "lambda_over_rho");
  const std::vector<DataArray> data = view->data(context());
  ASSERT_EQ(data.size(), 1U);
  ASSERT_EQ(data[0].values.size(), static_cast<std::size_t>(wanted.layers * wanted.heads));
  for (const double value : data[0].values) EXPECT_NEAR(value, 0.04 / wanted.rho(4), 1e-6);
  view->set_control("quantity", "rho_used_over_true");
  const std::vector<DataArray> ratio = view->data(context());
  for (const double value : ratio.at(0).values) EXPECT_NEAR(value, wanted.rho_used(4) / wanted.rho(4), 1e-6);
}

TEST_F(PlotViews, EveryViewPaintsEverySizeControlAndCapture) {
  PlotCapture no_shadow, one_step, poisoned;
  no_shadow.shadow = false;
  one_step.steps = 1;
  one_step.layers = one_step.heads = 1;
  one_step.text_tokens = 0;
  poisoned.poisoned = true;
  int n = 0;
  for (const PlotCapture& capture : {PlotCapture{}, no_shadow, one_step, poisoned}) {
    const auto file = folder / ("c" + std::to_string(n++) + ".ditcap");
    write_plot_capture(file, capture);
    inspection.close_all();
    inspection.open(file);
    for (const int run : {0, 1}) {
      inspection.set_cursor({run, 4, 1, 1, 1});
      inspection.set_locked({3});
      for (const char* id : kViews) {
        const auto view = make_inspect_view(id);
        for (const auto& [width, height] : {std::pair(280.0, 280.0), std::pair(40.0, 30.0), std::pair(1600.0, 160.0), std::pair(700.0, 900.0)}) {
          const RecordingCanvas canvas = painted(*view, width, height);
          EXPECT_FALSE(canvas.texts.empty()) << id;
          for (const auto& fill : canvas.fills) {
            EXPECT_TRUE(std::isfinite(fill.rect.x) && std::isfinite(fill.rect.width) && fill.rect.width > -1e-6 && fill.rect.height > -1e-6)
                << id << " " << width << "x" << height << " capture " << n << " run " << run;
          }
          view->tooltip({width / 2, height / 2}, context(width, height));
        }
        EXPECT_FALSE(view->spoken(context()).empty());
        for (const DataArray& array : view->data(context())) {
          std::int64_t size = 1;
          for (const std::int64_t length : array.shape) size *= length;
          EXPECT_EQ(size, static_cast<std::int64_t>(array.values.size())) << id << " " << array.name;
        }
      }
    }
    inspection.unlock_all();
  }
}

TEST_F(PlotViews, EveryChoiceOfEveryControlPaints) {
  open();
  for (const char* id : kViews) {
    const auto view = make_inspect_view(id);
    for (const Control& control : view->controls(context())) {
      EXPECT_FALSE(control.tooltip.empty()) << id << " " << control.name;
      for (const std::string& choice : control.choices) {
        view->set_control(control.name, choice);
        painted(*view);
      }
      if (!control.choices.empty()) view->set_control(control.name, control.choices.front());
      EXPECT_THROW(view->set_control(control.name, "no such value"), Error) << id << " " << control.name;
    }
    EXPECT_THROW(view->set_control("no such control", "1"), Error);
  }
}

TEST_F(PlotViews, WhileDataLoadsEveryViewPaintsAndThenShowsIt) {
  write_plot_capture(folder / "run.ditcap");
  Inspection live{Inspection::Loading::InBackground};
  std::mutex mutex;
  std::condition_variable wake;
  int news = 0;
  live.on_change([&] {
    const std::lock_guard lock(mutex);
    ++news;
    wake.notify_all();
  });
  live.open(folder / "run.ditcap");
  live.set_cursor({1, 4, 1, 1, 1});
  live.set_locked({8});
  const std::pair<const char*, const char*> shows[] = {{"drift", "bands 10-90"}, {"histogram", "values"}, {"error", "First divergence"},
                                                       {"timeline", "refresh"},  {"outputs", "re-ttention"}};
  for (const auto& [id, text] : shows) {
    const auto view = make_inspect_view(id);
    if (std::string(id) == "error") view->set_control("tolerance", "0.01");
    bool there = false;
    for (int i = 0; i < 100 && !there; ++i) {
      std::unique_lock lock(mutex);
      const int before = news;
      lock.unlock();
      RecordingCanvas canvas;
      view->paint(canvas, {live, live.cursor(), theme_for_tests(), {0, 0, 900, 500}, 1, 1, true, 0});
      EXPECT_EQ(canvas.clips, 0);
      EXPECT_FALSE(canvas.texts.empty());
      there = canvas.has_text(text);
      lock.lock();
      if (!there) wake.wait_for(lock, std::chrono::milliseconds(200), [&] { return news != before; });
    }
    EXPECT_TRUE(there) << id;
  }
  live.on_change({});
}

TEST_F(PlotViews, WithoutACaptureEveryViewSaysWhatToDo) {
  for (const char* id : kViews) {
    const auto view = make_inspect_view(id);
    EXPECT_TRUE(painted(*view).has_text("No run is open")) << id;
    EXPECT_TRUE(view->data(context()).empty());
    EXPECT_FALSE(press(*view, {10, 10}));
    EXPECT_TRUE(view->tooltip({10, 10}, context()).empty());
  }
}

TEST_F(PlotViews, InfiniteErrorsStandOutAndCountAsDivergence) {
  PlotCapture capture;
  capture.poisoned = true;
  open(capture);
  const auto view = make_error_view();
  view->set_control("tolerance", "50");
  EXPECT_TRUE(painted(*view).has_text("step 4"));
}

TEST(Plot, HatchingStaysInsideItsRectangleAndCoversIt) {
  RecordingCanvas canvas;
  const Rect rect{300, 700, 40, 20};
  paint_hatch(canvas, rect, Rgb{}, 5);
  ASSERT_FALSE(canvas.lines.empty());
  EXPECT_EQ(canvas.clips, 0);
  int through = 0;
  for (const auto& line : canvas.lines) {
    const double x = (line.points[0].x + line.points[1].x) / 2;
    through += x > rect.x && x < rect.right() ? 1 : 0;
  }
  EXPECT_GE(through, 7);
}

}  // namespace
}  // namespace ditscope::views
