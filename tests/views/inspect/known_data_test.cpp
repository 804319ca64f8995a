// Known data in the views that show maps, masks and videos: each value must stand where it belongs.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "tests/support/temporary_folder.h"
#include "tests/views/inspect/inspect_support.h"
#include "tests/views/inspect/plot_capture.h"
#include "tests/views/inspect/recording_canvas.h"
#include "tests/views/inspect/synthetic_capture.h"
#include "views/inspect/heads_data.h"
#include "views/inspect/mask_data.h"
#include "views/inspect/outputs_look.h"
#include "views/inspect/range.h"
#include "views/inspect/timeline_view.h"
#include "views/inspect/views.h"

namespace ditscope::views {
namespace {

class KnownData : public ::testing::Test {
 protected:
  void open(const SyntheticCapture& capture) {
    write_synthetic(folder_ / "run.ditcap", capture);
    inspection_.open(folder_ / "run.ditcap");
    inspection_.set_cursor({0, 0, 0, 0, 0});
  }
  void open_runs(const PlotCapture& capture) {
    write_plot_capture(folder_ / "runs.ditcap", capture);
    inspection_.open(folder_ / "runs.ditcap");
    inspection_.set_cursor({1, 4, 1, 1, 1});
  }
  ViewContext context(double width = 700, double height = 560) {
    return {inspection_, inspection_.cursor(), theme_for_tests(), {0, 0, width, height}, 1, 1, true, 0};
  }
  RecordingCanvas painted(InspectView& view, double width = 700, double height = 560) {
    RecordingCanvas canvas;
    view.paint(canvas, context(width, height));
    EXPECT_EQ(canvas.clips, 0);
    return canvas;
  }
  bool send(InspectView& view, PointerEvent::Kind kind, Point at, double notches = 0, double width = 700, double height = 560) {
    PointerEvent event;
    event.kind = kind, event.at = at, event.left = kind == PointerEvent::Kind::Press, event.notches = notches;
    return view.pointer(event, context(width, height));
  }
  InspectHover hover_at(InspectView& view, Point at) {
    inspection_.set_hover({});
    send(view, PointerEvent::Kind::Move, at);
    return inspection_.hover();
  }
  test::TemporaryFolder folder_;
  Inspection inspection_{Inspection::Loading::AtOnce};
};

TEST_F(KnownData, EachHeadsThumbnailHasTheColoursOfItsOwnMap) {
  SyntheticCapture capture;
  capture.frames = 4, capture.rows = 16, capture.columns = 16, capture.text_tokens = 0, capture.layers = 3, capture.heads = 4;
  // Lighter from head to head, and twice as dense below the middle of the queries.
  capture.share = [](int layer, int head, int m, int) { return 0.01F * static_cast<float>(1 + layer * 4 + head) * (m < 8 ? 1.0F : 2.0F); };
  open(capture);
  const auto view = make_inspect_view("heads");
  const RecordingCanvas canvas = painted(*view);
  std::vector<float> all;
  for (int layer = 0; layer < 3; ++layer) {
    InspectCursor at = inspection_.cursor();
    at.layer = layer;
    const auto thumbnails = layer_thumbnails(inspection_, at, false);
    all.insert(all.end(), thumbnails->values.begin(), thumbnails->values.end());
  }
  const ValueScale scale{ValueScale::Kind::Log10, 1e-6};
  const ValueRange range = autofit(all, scale);
  const ColourMap map("magma", theme_for_tests());
  for (int cell = 0; cell < 12; ++cell) {
    const Rect& target = canvas.images.at(cell).target;
    for (const double y : {0.25, 0.75}) {
      const auto got = canvas.image_at({target.x + 0.4 * target.width, target.y + y * target.height});
      ASSERT_TRUE(got);
      const double density = 0.01 * (1 + cell) * (y < 0.5 ? 1 : 2) / 64;
      EXPECT_EQ(to_hex(*got), to_hex(map.of(density, scale, range))) << cell << " " << y;
    }
  }
}

TEST_F(KnownData, ThumbnailsOfMasksAreKeptOnTheDiagonalAlone) {
  SyntheticCapture capture;
  capture.frames = 8, capture.rows = 16, capture.columns = 16, capture.text_tokens = 0;  // 32 blocks: one a pixel of the thumbnail
  open(capture);
  const auto view = make_inspect_view("heads");
  view->set_control("quantity", "mask");
  const RecordingCanvas canvas = painted(*view);
  const Rect& target = canvas.images.at(0).target;
  const std::string kept = to_hex(theme_for_tests().run(0)), skipped = to_hex(theme_for_tests().colour("mask_skipped"));
  for (int m = 0; m < 32; ++m) {
    for (int n = 0; n < 32; ++n) {
      const bool keeps = std::abs(m - n) <= 1 || n == 0;
      const auto got = canvas.image_at({target.x + (n + 0.5) / 32 * target.width, target.y + (m + 0.5) / 32 * target.height});
      ASSERT_TRUE(got);
      EXPECT_EQ(to_hex(*got), keeps ? kept : skipped) << m << " " << n;
    }
  }
}

TEST_F(KnownData, TheMaskShowsUnderEachPixelWhatThePairThereIs) {
  SyntheticCapture capture;
  capture.frames = 4, capture.rows = 16, capture.columns = 16, capture.text_tokens = 128;
  open(capture);
  const auto view = make_inspect_view("mask");
  view->set_control("damage", "off");
  const RecordingCanvas canvas = painted(*view);
  const auto plan = inspection_.plan(inspection_.cursor());
  ASSERT_TRUE(plan);
  const TokenGeometry& geometry = inspection_.run(0).geometry;
  int kept = 0, skipped = 0;
  for (double y = 40; y < 540; y += 9) {
    for (double x = 40; x < 480; x += 9) {
      const InspectHover hover = hover_at(*view, {x, y});
      const auto got = canvas.image_at({x, y});
      if (hover.query < 0 || !got) continue;
      const PairState state = pair_state(*plan, geometry, hover.query, hover.key);
      EXPECT_EQ(to_hex(*got), to_hex(theme_for_tests().colour(state.kept ? reason_token(state.reason) : "mask_skipped"))) << hover.query << " " << hover.key;
      ++(state.kept ? kept : skipped);
    }
  }
  EXPECT_GT(kept, 200);
  EXPECT_GT(skipped, 1000);
}

TEST_F(KnownData, TheRowIsLightestOnTheFrameWhereItsKeysAre) {
  SyntheticCapture capture;
  capture.frames = 4, capture.rows = 16, capture.columns = 16, capture.text_tokens = 0;
  capture.share = [](int, int, int, int n) { return n == 9 ? 0.5F : 0.01F; };  // tokens 576..639: frame 2, rows 4 to 7
  open(capture);
  inspection_.set_locked({3});
  const auto view = make_inspect_view("rows");
  view->set_control("exact", "off");
  const RecordingCanvas canvas = painted(*view);
  ASSERT_EQ(canvas.images.size(), 4U);
  const ColourMap map("magma", theme_for_tests());
  for (int frame = 0; frame < 4; ++frame) {
    const Rect& target = canvas.images[frame].target;
    for (int row = 0; row < 16; ++row) {
      const Point at{target.x + target.width / 2, target.y + (row + 0.5) / 16 * target.height};
      const bool hot = frame == 2 && row >= 4 && row < 8;
      EXPECT_EQ(to_hex(*canvas.image_at(at)) == to_hex(map.at(1)), hot) << frame << " " << row;
      EXPECT_EQ(hover_at(*view, at).key / 16, frame * 16 + row);
    }
  }
}

TEST_F(KnownData, MasksThatAreReusedOverlapWhole) {
  SyntheticCapture capture;
  capture.steps = 4;
  open(capture);
  const auto view = make_inspect_view("overlap");
  const RecordingCanvas canvas = painted(*view);
  ASSERT_EQ(canvas.images.size(), 1U);
  const ColourMap map("viridis", theme_for_tests());
  for (int i = 0; i < 16; ++i) {
    const Rect& target = canvas.images[0].target;
    EXPECT_EQ(to_hex(*canvas.image_at({target.x + (i % 4 + 0.5) / 4 * target.width, target.y + (i / 4 + 0.5) / 4 * target.height})), to_hex(map.at(1)));
  }
}

TEST_F(KnownData, TheHeatLiesOnThePixelsOfTheTokensThatAreLookedAt) {
  SyntheticCapture capture;
  capture.frames = 3, capture.rows = 16, capture.columns = 16, capture.text_tokens = 64;
  capture.share = [](int, int, int m, int n) { return m == 5 && n == 9 ? 0.8F : 0.001F; };
  open(capture);
  const TokenGeometry& geometry = inspection_.run(0).geometry;
  const std::int64_t query = geometry.from_call(64 + 4 * 64), key = geometry.from_call(64 + 8 * 64);  // the first tokens of cells 5 and 9
  for (const bool to : {false, true}) {
    const auto look = token_look(inspection_, inspection_.cursor(), {{to ? key : query}, to, false});
    ASSERT_TRUE(look) << look.problem;
    EXPECT_EQ(look->source.rfind("pooled 64 x 64", 0), 0U) << look->source;
    const std::int64_t there = to ? query : key;
    const int frame = geometry.place(there).frame;
    const auto bitmap = look_bitmap(*look, geometry, frame, theme_for_tests());
    for (int row = 0; row < 16; ++row) {
      // A cell of 64 tokens is four rows of 16.
      const bool hot = row / 4 == geometry.place(there).row / 4;
      EXPECT_EQ(bitmap->rgba[std::size_t{4} * row * 16 + 3] > 200, hot) << to << " " << row;
    }
  }
}

TEST_F(KnownData, ColumnsAreThoseOfTheSoftmax) {
  SyntheticCapture capture;
  capture.operands = true;
  open(capture);
  const auto operands = inspection_.operands(inspection_.cursor());
  ASSERT_TRUE(operands) << operands.problem;
  std::vector<std::int64_t> all;
  for (std::int64_t token = 0; token < operands->tokens; ++token) all.push_back(token);
  std::vector<float> log_sum_exp;
  const std::vector<float> rows = attention_rows(*operands, 1, all, &log_sum_exp);
  for (const std::vector<float>& given : {std::vector<float>{}, log_sum_exp}) {
    const std::vector<float> column = attention_columns(*operands, 1, {5, 40}, given);
    for (const std::int64_t query : all) {
      EXPECT_NEAR(column[query], rows[query * operands->tokens + 5] + rows[query * operands->tokens + 40], 1e-6) << query;
    }
  }
  // Several tokens: the mean of their rows.
  InspectCursor at = inspection_.cursor();
  at.head = 1;
  const auto look = token_look(inspection_, at, {{10, 20}, false, false});
  ASSERT_TRUE(look);
  EXPECT_EQ(look->source, "exact, head 1");
  const TokenGeometry& geometry = inspection_.run(0).geometry;
  for (const std::int64_t key : all) {
    const double wanted = (rows[geometry.to_call(10) * operands->tokens + key] + rows[geometry.to_call(20) * operands->tokens + key]) / 2;
    EXPECT_NEAR(look->weight[geometry.from_call(key)], wanted, 1e-6);
  }
}

TEST_F(KnownData, HeadsAreSortedByAnyFigureEitherWay) {
  SyntheticCapture capture;
  capture.layers = 2, capture.heads = 3;
  open(capture);
  const auto view = make_inspect_view("heads");
  view->set_control("quantity", "error");
  view->set_control("sort", "error");
  const auto first = [&] {
    send(*view, PointerEvent::Kind::Press, {12, 12});
    return inspection_.cursor().layer + inspection_.cursor().head;
  };
  painted(*view);
  EXPECT_EQ(first(), 3);  // errors grow with layer + head
  view->set_control("order", "lowest first");
  painted(*view);
  EXPECT_EQ(first(), 0);
  EXPECT_EQ(sorted_cells({0.1, NAN, 0.5, 0.2}, true), (std::vector<int>{0, 3, 2, 1}));
}

TEST_F(KnownData, TheRecallOfTheLockedRowIsWhatItsMaskKeeps) {
  SyntheticCapture capture;
  capture.frames = 4, capture.rows = 16, capture.columns = 16, capture.text_tokens = 0;
  capture.share = [](int, int head, int, int n) { return n == 0 ? 0.5F : n == 8 ? 0.25F : head == 1 ? 0.0F : 0.01F; };
  open(capture);
  // Row of cell 8: the sink (cell 0) and cells 7 to 9 are kept.
  const auto recall = layer_row_recall(inspection_, inspection_.cursor(), 8 * 64 + 3);
  ASSERT_TRUE(recall) << recall.problem;
  EXPECT_NEAR((*recall)[1], 1.0, 1e-6);
  EXPECT_NEAR((*recall)[0], (0.5 + 0.25 + 0.02) / (0.5 + 0.25 + 14 * 0.01), 1e-6);
  inspection_.set_locked({8 * 64 + 3});
  const auto view = make_inspect_view("heads");
  view->set_control("quantity", "locked row");
  EXPECT_TRUE(painted(*view).has_text("1"));
  inspection_.unlock_all();
  EXPECT_TRUE(painted(*view).has_text("Lock a token"));
}

TEST_F(KnownData, TheScrubberShowsThePsnrOfEveryFrame) {
  open_runs({});
  const auto view = make_inspect_view("outputs");
  const RecordingCanvas canvas = painted(*view);
  EXPECT_TRUE(canvas.has_text("PSNR to A"));
  EXPECT_TRUE(canvas.has_text("B 28.1 dB"));  // run B is 10/255 lighter everywhere: 20 log10(25.5)
  for (const DataArray& array : view->data(context())) {
    if (array.name != "psnr_B") continue;
    ASSERT_EQ(array.values.size(), 9U);
    for (const double value : array.values) EXPECT_NEAR(value, 28.13, 0.01);
  }
}

TEST_F(KnownData, RhoOfEveryRowStandsAtItsToken) {
  PlotCapture capture;
  open_runs(capture);
  const auto rho = row_heat(inspection_, inspection_.cursor(), TokenLook::Heat::Rho);
  ASSERT_TRUE(rho) << rho.problem;
  for (const float value : rho->weight) EXPECT_NEAR(value, capture.rho(4), 2e-3);
  const auto drift = row_heat(inspection_, inspection_.cursor(), TokenLook::Heat::Drift);
  ASSERT_TRUE(drift) << drift.problem;
  const TokenGeometry& geometry = inspection_.run(1).geometry;
  for (std::int64_t token = 0; token < geometry.tokens(); ++token) {
    if (token % 4 == 0) {
      EXPECT_NEAR(drift->weight[token], capture.rho_used(4) / capture.rho(4), 4e-3);  // the rows that were sampled
    } else {
      EXPECT_TRUE(std::isnan(drift->weight[token]));
    }
  }
  const auto bitmap = look_bitmap(*drift, geometry, 0, theme_for_tests());
  EXPECT_EQ(bitmap->rgba[3] > 0, std::isfinite(drift->weight[geometry.token(0, 0, 0)]));
  EXPECT_FALSE(row_heat(inspection_, {0, 4, 0, 0, 0}, TokenLook::Heat::Drift));
  const auto view = make_inspect_view("outputs");
  view->set_control("heat", "rho used / true");
  EXPECT_TRUE(painted(*view).has_text("centred on 1"));
}

TEST_F(KnownData, TheLockedRowIsMarkedAmongTheRowsOfItsLayer) {
  open_runs({});
  const auto brushed = [&](const char* id) {
    const RecordingCanvas canvas = painted(*make_inspect_view(id));
    const std::string brush = to_hex(theme_for_tests().colour("brush"));
    const auto is = [&](const RecordingCanvas::Line& line) { return to_hex(line.colour.rgb) == brush; };
    return std::count_if(canvas.lines.begin(), canvas.lines.end(), is) + std::count_if(canvas.polylines.begin(), canvas.polylines.end(), is);
  };
  for (const char* id : {"histogram", "violin", "drift"}) {
    inspection_.unlock_all();
    EXPECT_EQ(brushed(id), 0) << id;
    inspection_.set_locked({8});
    EXPECT_GT(brushed(id), 0) << id;
  }
}

TEST_F(KnownData, EveryMethodIsHeldAgainstTheReferenceInAGrid) {
  PlotCapture three;
  three.runs = 3;
  open_runs(three);
  const auto view = make_inspect_view("outputs");
  view->set_control("mode", "difference grid");
  view->set_control("range", "0.5");
  const RecordingCanvas canvas = painted(*view);
  ASSERT_GE(canvas.images.size(), 2U);
  EXPECT_NEAR(canvas.images[0].bitmap->rgba[0], 10.0 / 255 / 0.5 * 255, 1.01);
  EXPECT_FALSE(canvas.has_text("nothing to compare"));
  EXPECT_NEAR(canvas.images[1].bitmap->rgba[0], 20.0 / 255 / 0.5 * 255, 1.01);
  EXPECT_TRUE(canvas.has_text("|B - A|, 0 to 0.5, fixed"));
  EXPECT_TRUE(canvas.has_text("|C - A|, 0 to 0.5, fixed"));
  view->set_control("mode", "grid");
  EXPECT_TRUE(painted(*view).has_text("28.1 dB"));
  EXPECT_TRUE(painted(*view).has_text("22.1 dB"));
}

TEST_F(KnownData, HoldingShiftFlickersUntilItIsLetGo) {
  open_runs({});
  const auto view = make_inspect_view("outputs");
  EXPECT_FALSE(view->animated());
  EXPECT_TRUE(view->key("Shift", context()));
  EXPECT_TRUE(view->animated());
  ViewContext later = context();
  std::vector<int> reds;
  for (const double seconds : {0.1, 0.35}) {
    later.seconds = seconds;
    RecordingCanvas canvas;
    view->paint(canvas, later);
    reds.push_back(canvas.images.at(0).bitmap->rgba[0]);
  }
  EXPECT_TRUE(reds == (std::vector<int>{0, 10}) || reds == (std::vector<int>{10, 0})) << reds[0] << " " << reds[1];
  EXPECT_TRUE(view->key_released("Shift", context()));
  EXPECT_FALSE(view->animated());
  EXPECT_FALSE(view->key_released("Shift", context()));
}

TEST_F(KnownData, ATokenThatIsLockedElsewhereIsShownOnItsFrame) {
  open_runs({});
  const TokenGeometry& geometry = inspection_.run(1).geometry;
  const auto view = make_inspect_view("outputs");
  painted(*view);
  inspection_.lock(geometry.token(2, 1, 1), false);
  const RecordingCanvas canvas = painted(*view);
  EXPECT_EQ(canvas.images.at(0).bitmap->rgba[0], 20 * geometry.pixels(geometry.token(2, 1, 1)).last_frame);
}

TEST_F(KnownData, LanesThatDoNotFitAreReachedByScrolling) {
  open_runs({});
  const auto view = make_inspect_view("timeline");
  const auto visible = [&](double height) {
    int lanes = 0;
    for (const auto& text : painted(*view, 900, height).texts) {
      for (const char* name : {"Kept", "Error", "Attention", "preview"}) lanes += text.text == name && text.at.y > 20 && text.at.y < height - 2;
    }
    return lanes;
  };
  EXPECT_EQ(visible(170), 4);
  EXPECT_EQ(visible(400), 4);
  EXPECT_LT(visible(80), 4);
  EXPECT_TRUE(painted(*view, 900, 80).has_text(" more"));
  EXPECT_TRUE(send(*view, PointerEvent::Kind::Wheel, {20, 50}, -8, 900, 80));
  bool preview = false;
  for (const auto& text : painted(*view, 900, 80).texts) preview |= text.text == "preview" && text.at.y > 20 && text.at.y < 78;
  EXPECT_TRUE(preview);
  // The word above the names leads back.
  send(*view, PointerEvent::Kind::Press, {20, 10}, 0, 900, 80);
  bool kept = false;
  for (const auto& text : painted(*view, 900, 80).texts) kept |= text.text == "Kept" && text.at.y > 20;
  EXPECT_TRUE(kept);
  EXPECT_FALSE(painted(*view, 900, 300).has_text(" more"));
}

}  // namespace
}  // namespace ditscope::views
