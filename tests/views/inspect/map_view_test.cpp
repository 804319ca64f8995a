// The map and its neighbours painted on known captures; pixels read back.
#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "kernels/error.h"
#include "tests/support/temporary_folder.h"
#include "tests/views/inspect/inspect_support.h"
#include "tests/views/inspect/recording_canvas.h"
#include "tests/views/inspect/synthetic_capture.h"
#include "views/inspect/cairo_canvas.h"
#include "views/inspect/colour_map.h"
#include "views/inspect/data_file.h"
#include "views/inspect/heads_data.h"
#include "views/inspect/map_axes.h"
#include "views/inspect/map_data.h"
#include "views/inspect/map_row.h"
#include "views/inspect/mask_data.h"
#include "views/inspect/range.h"

namespace ditscope::views {
namespace {

class MapViews : public ::testing::Test {
 protected:
  void write(const SyntheticCapture& capture) {
    write_synthetic(file_, capture);
    inspection_.open(file_);
  }
  std::shared_ptr<const Bitmap> paint(InspectView& view, int width = 600, int height = 560) {
    const Sheet sheet{width, height};
    CairoCanvas canvas(CairoCanvas::Format::Pixels, sheet, theme_for_tests());
    paint_view(canvas, view, inspection_, inspection_.cursor(), theme_for_tests(), sheet);
    return canvas.bitmap();
  }
  ViewContext context(int width = 600, int height = 560) {
    return {inspection_, inspection_.cursor(), theme_for_tests(), {0, 0, static_cast<double>(width), static_cast<double>(height)}};
  }
  static Rgb pixel(const Bitmap& bitmap, int x, int y) {
    const std::uint8_t* p = bitmap.rgba.data() + 4 * (static_cast<std::size_t>(y) * bitmap.width + x);
    return {p[0] / 255.0F, p[1] / 255.0F, p[2] / 255.0F};
  }
  /// Share of the pixels that have a colour, within one step.
  static double share(const Bitmap& bitmap, Rgb colour) {
    std::size_t count = 0;
    const auto near = [](float a, float b) { return std::abs(a - b) < 2.5F / 255; };
    for (int y = 0; y < bitmap.height; ++y) {
      for (int x = 0; x < bitmap.width; ++x) {
        const Rgb p = pixel(bitmap, x, y);
        count += near(p.r, colour.r) && near(p.g, colour.g) && near(p.b, colour.b);
      }
    }
    return static_cast<double>(count) / (static_cast<double>(bitmap.width) * bitmap.height);
  }
  /// The pair under a point, as the view tells the others.
  InspectHover hover_at(InspectView& view, double x, double y) {
    PointerEvent event;
    event.at = {x, y};
    view.pointer(event, context());
    return inspection_.hover();
  }

  test::TemporaryFolder folder_;
  std::filesystem::path file_ = folder_ / "run.ditcap";
  Inspection inspection_{Inspection::Loading::AtOnce};
};

TEST_F(MapViews, AKnownMapShowsItsValuesInTheRightPlaces) {
  SyntheticCapture capture;
  capture.frames = 4, capture.rows = 16, capture.columns = 16, capture.text_tokens = 128;  // 2 + 16 cells
  capture.share = [](int, int, int m, int n) { return 64 * std::pow(10.0F, -5 + 4 * static_cast<float>((m * 18 + n) % 324) / 324); };
  write(capture);
  const auto view = make_inspect_view("map");
  view->set_control("exact", "off");
  view->set_control("colours", "viridis");
  const auto bitmap = paint(*view);
  const ColourMap map("viridis", theme_for_tests());
  const ValueScale scale{ValueScale::Kind::Log10, 1e-6};
  const auto level = map_level(inspection_, inspection_.cursor(), {});
  ASSERT_TRUE(level);
  const ValueRange range = autofit(level->density, scale);
  RecordingCanvas drawn;  // where words stand over the map
  view->paint(drawn, context());
  const auto under_words = [&](int x, int y) {
    return std::any_of(drawn.fills.begin(), drawn.fills.end(), [&](const RecordingCanvas::Shape& fill) {
      return fill.rect.height == 16 && x > fill.rect.x - 24 && x < fill.rect.right() + 24 && y > fill.rect.y - 12 && y < fill.rect.bottom() + 12;
    });
  };
  int checked = 0;
  for (int y = 60; y < 480; y += 7) {
    for (int x = 60; x < 480; x += 7) {
      const InspectHover hover = hover_at(*view, x + 0.5, y + 0.5);
      if (hover.query < 0) continue;
      const int row = level->cell_of(hover.query), column = level->cell_of(hover.key);
      // Away from the lines between frames, and from the words over the map.
      const auto near_edge = [&](std::int64_t token) { return token % 256 > 116 && token % 256 < 140; };
      if (near_edge(hover.query) || near_edge(hover.key)) continue;
      const Rgb expected = map.of(level->density[static_cast<std::size_t>(row) * level->cells() + column], scale, range), got = pixel(*bitmap, x, y);
      if (std::abs(expected.r - got.r) + std::abs(expected.g - got.g) + std::abs(expected.b - got.b) < 0.02) ++checked;
      else EXPECT_TRUE(under_words(x, y)) << "at " << x << ", " << y << ": " << to_hex(got) << ", expected " << to_hex(expected);
    }
  }
  EXPECT_GT(checked, 1500);
}

TEST_F(MapViews, NanIsRedAndInfinityGreenOnTheMap) {
  SyntheticCapture capture;
  capture.frames = 4, capture.rows = 16, capture.columns = 16, capture.text_tokens = 0;
  capture.share = [](int, int, int m, int) {
    return m < 4 ? std::numeric_limits<float>::quiet_NaN() : m < 8 ? std::numeric_limits<float>::infinity() : 0.01F;
  };
  write(capture);
  const auto view = make_inspect_view("map");
  view->set_control("exact", "off");
  const auto bitmap = paint(*view);
  EXPECT_GT(share(*bitmap, {1, 0, 0}), 0.1);
  EXPECT_GT(share(*bitmap, {0, 1, 0}), 0.1);
  for (const char* id : {"heads", "mask", "rows", "overlap", "age", "qk"}) {
    inspection_.set_locked({70});
    EXPECT_NO_THROW(paint(*make_inspect_view(id))) << id;
  }
}

TEST_F(MapViews, OneTokenAndNoTextArePaintedToo) {
  SyntheticCapture capture;
  capture.frames = capture.rows = capture.columns = 1, capture.text_tokens = 0;
  capture.layers = capture.heads = 1;
  capture.operands = true;
  write(capture);
  inspection_.set_locked({0});
  for (const char* id : {"map", "heads", "mask", "rows", "overlap", "age", "qk"}) {
    const auto view = make_inspect_view(id);
    for (const auto& [width, height] : {std::pair{600, 500}, {280, 280}, {40, 30}}) EXPECT_NO_THROW(paint(*view, width, height)) << id;
  }
}

TEST_F(MapViews, ExactTilesAreTheSoftmaxOfQAndK) {
  for (const bool position_major : {false, true}) {
    SyntheticCapture capture;
    capture.operands = true;
    capture.position_major = position_major;
    write(capture);
    const InspectCursor at = inspection_.cursor();
    const TokenGeometry& geometry = inspection_.run(at.run).geometry;
    for (const bool raster : {false, true}) {
      const TileArea area{3, 40, 5, 60, 1, raster};
      const auto tile = exact_tile(inspection_, at, area);
      ASSERT_TRUE(tile) << tile.problem;
      const TileArea coarse{3, 40, 5, 60, 4, raster};
      const auto pooled = exact_tile(inspection_, at, coarse);
      ASSERT_TRUE(pooled);
      double sum = 0;
      for (std::int64_t q = 3; q < 40; ++q) {
        const std::int64_t query = raster ? q : geometry.from_call(q);
        const auto row = inspection_.exact_row(at, query);
        ASSERT_TRUE(row);
        for (std::int64_t k = 5; k < 60; ++k) {
          const std::int64_t key = raster ? k : geometry.from_call(k);
          EXPECT_FLOAT_EQ((*tile)[static_cast<std::size_t>((q - 3) * 55 + k - 5)], row->probability[static_cast<std::size_t>(key)]);
          if (q >= 7 && q < 11 && k >= 9 && k < 13) sum += row->probability[static_cast<std::size_t>(key)];
        }
      }
      EXPECT_NEAR((*pooled)[static_cast<std::size_t>(coarse.columns() + 1)], sum / 16, 1e-7);
    }
    inspection_.close_all();
  }
}

TEST_F(MapViews, TheFirstPictureHasTheColoursOfItsRange) {
  SyntheticCapture capture;
  capture.operands = true;
  write(capture);
  const auto view = make_inspect_view("map");
  const auto first = paint(*view), second = paint(*view);
  EXPECT_EQ(first->rgba, second->rgba) << "exact tiles set the range before they are painted";
}

TEST_F(MapViews, SaysWhyItIsNotExactWhereNeitherQAndKNorTheModelAreThere) {
  write({});
  const auto view = make_inspect_view("map");
  RecordingCanvas canvas;
  ViewContext at = context();
  view->paint(canvas, at);
  EXPECT_TRUE(canvas.has_text(", replay off"));
  EXPECT_NE(view->tooltip({500, 8}, at).find("Replay is off: this machine does not have the model"), std::string::npos) << view->tooltip({500, 8}, at);
  view->set_control("exact", "off");
  RecordingCanvas pooled;
  view->paint(pooled, at);
  EXPECT_FALSE(pooled.has_text(", replay off"));
}

/// q, k and v that the model of write({}) would make.
AttentionOperands made_again(std::int64_t tokens) {
  AttentionOperands o;
  o.heads = 3, o.tokens = tokens, o.width = 8;
  o.scale = 1;
  for (std::int64_t i = 0; i < o.heads * o.tokens * o.width; ++i) o.q.push_back(std::sin(0.37F * static_cast<float>(i % 997)));
  o.k = o.v = o.q;
  o.source = "replayed";
  return o;
}

TEST_F(MapViews, ReplayIsGreyedWithItsReasonUntilTheModelIsThere) {
  write({});
  const std::int64_t tokens = inspection_.run(0).geometry.tokens(), token = inspection_.run(0).geometry.token(1, 2, 3);
  inspection_.set_operands_source([](auto&&...) -> AttentionOperands { throw Error(ErrorKind::NotFound, "Replay is off: no folder /x."); });
  inspection_.set_locked({token});
  const auto problem_of = [&](const InspectView& view) {
    for (const Control& control : view.controls(context())) {
      if (control.name == "exact") return control.problem;
    }
    return std::string("no such control");
  };
  std::map<std::string, std::unique_ptr<InspectView>> views;
  for (const char* id : {"map", "rows", "outputs", "qk"}) {
    views[id] = make_inspect_view(id);
    RecordingCanvas canvas;
    views[id]->paint(canvas, context());
    EXPECT_FALSE(canvas.has_text("exact, head")) << id;
    EXPECT_EQ(canvas.has_text("Replay is off"), std::string(id) == "qk") << id;
  }
  EXPECT_EQ(problem_of(*views["map"]), "Replay is off: no folder /x.");
  EXPECT_EQ(problem_of(*views["rows"]), "Replay is off: no folder /x.");
  inspection_.set_operands_source([tokens](auto&&...) { return made_again(tokens); });
  for (const auto& [id, view] : views) {
    RecordingCanvas canvas;
    view->paint(canvas, context());
    EXPECT_TRUE(id == "qk" || canvas.has_text("exact")) << id;
    EXPECT_FALSE(canvas.has_text("Replay is off") || canvas.has_text("pooled")) << id;
  }
  EXPECT_EQ(problem_of(*views["map"]), "");
  EXPECT_EQ(problem_of(*views["rows"]), "");
}

TEST_F(MapViews, MasksThatDoNotCompareAreHatchedAndNamed) {
  const auto view = make_inspect_view("overlap");
  view->set_control("between", "runs");
  const auto hatching = [&](const RecordingCanvas& canvas) {
    return std::count_if(canvas.lines.begin(), canvas.lines.end(), [](const auto& line) { return line.points[0].x != line.points[1].x && line.points[0].y != line.points[1].y; });
  };
  write({});
  write_synthetic(folder_ / "twin.ditcap", {});
  inspection_.open(folder_ / "twin.ditcap");
  RecordingCanvas twins;
  view->paint(twins, context());
  EXPECT_EQ(hatching(twins), 0);
  EXPECT_FALSE(twins.has_text("hatched"));
  inspection_.close_all();
  inspection_.open(file_);
  SyntheticCapture longer;
  longer.frames = 5;
  write_synthetic(folder_ / "longer.ditcap", longer);
  inspection_.open(folder_ / "longer.ditcap");
  RecordingCanvas others;
  view->paint(others, context());
  EXPECT_GT(hatching(others), 10);
  EXPECT_TRUE(others.has_text("hatched: other sizes or token orders"));
  std::vector<double> iou;
  for (const DataArray& array : view->data(context())) {
    if (array.name == "iou") iou = array.values;
  }
  ASSERT_EQ(iou.size(), 4u);
  EXPECT_EQ(iou[0], 1);
  EXPECT_TRUE(std::isnan(iou[1]) && std::isnan(iou[2]));
}

TEST_F(MapViews, ThePairUnderTheMouseIsNamedByPlaceOrWordWithItsValue) {
  SyntheticCapture capture;
  capture.frames = 4, capture.rows = capture.columns = 8;
  capture.words = R"([[[1,"a",0,1],[2,"red",2,5],[3,"ball",6,10]]])";
  write(capture);
  const auto view = make_inspect_view("map");
  view->set_control("exact", "off");
  const TokenGeometry& geometry = inspection_.run(0).geometry;
  const auto level = map_level(inspection_, inspection_.cursor(), {});
  ASSERT_TRUE(level);
  const auto check = [&](std::int64_t query, std::int64_t key, const std::string& names) {
    inspection_.set_hover({query, key, "map"});
    RecordingCanvas canvas;
    view->paint(canvas, context());
    EXPECT_TRUE(canvas.has_text(names)) << names;
    const float p = level->density[static_cast<std::size_t>(level->cell_of(geometry.to_call(query))) * level->cells() + static_cast<std::size_t>(level->cell_of(geometry.to_call(key)))];
    EXPECT_TRUE(canvas.has_text("p = " + probability_text(p) + " ")) << p;
    EXPECT_TRUE(canvas.has_text("mean of 64 x 64 tokens"));
    EXPECT_TRUE(canvas.has_text("kept: ") || canvas.has_text("skipped, rank ")) << names;
  };
  check(geometry.token(2, 3, 4), geometry.token(0, 1, 7), "q (2, 3, 4) \u2192 k (0, 1, 7)");
  check(geometry.token(3, 7, 7), 1, "q (3, 7, 7) \u2192 k 'red'");
}

TEST_F(MapViews, NumbersThatAreNotThereSayWhy) {
  write({});
  const auto view = make_inspect_view("qk");
  const auto why = [&] {
    try {
      numbers_of(*view, context());
    } catch (const Error& error) {
      EXPECT_EQ(error.kind(), ErrorKind::NotFound);
      return std::string(error.what());
    }
    return std::string();
  };
  EXPECT_NE(why().find(" has no numbers here: No token is locked."), std::string::npos) << why();
  inspection_.set_locked({5});
  EXPECT_NE(why().find("Replay is off: this machine does not have the model"), std::string::npos) << why();
  inspection_.set_operands_source([tokens = inspection_.run(0).geometry.tokens()](auto&&...) { return made_again(tokens); });
  EXPECT_EQ(why(), "");
}

TEST_F(MapViews, ALockedTokenIsMarkedAsQueryAndAsKey) {
  SyntheticCapture capture;
  capture.frames = 4, capture.rows = capture.columns = 8;
  write(capture);
  const auto view = make_inspect_view("map");
  const std::int64_t token = inspection_.run(0).geometry.token(2, 3, 4);
  inspection_.set_locked({token});
  RecordingCanvas canvas;
  view->paint(canvas, context());
  ASSERT_EQ(canvas.triangles.size(), 2u);
  const auto middle = [](const std::vector<Point>& t) { return Point{(t[0].x + t[1].x) / 2, (t[0].y + t[1].y) / 2}; };
  const Point key = middle(canvas.triangles[0]), query = middle(canvas.triangles[1]);
  const InspectHover under = hover_at(*view, key.x, query.y);
  EXPECT_EQ(under.query, token) << "the triangle at the left points at its row";
  EXPECT_EQ(under.key, token) << "and the one above at its column";
}

TEST_F(MapViews, TilesOfACaptureAreNotShownForTheNext) {
  SyntheticCapture capture;
  capture.operands = true;
  write(capture);
  const auto view = make_inspect_view("map"), fresh = make_inspect_view("map");
  paint(*view);
  inspection_.close_all();
  file_ = folder_ / "other.ditcap";
  capture.operand_phase = 1;
  write(capture);
  view->key("N", context());
  EXPECT_EQ(paint(*view)->rgba, paint(*fresh)->rgba);
}

TEST_F(MapViews, AClickLocksTheQueryShiftAddsAndLeavingClearsTheHover) {
  write({});
  const auto view = make_inspect_view("map");
  paint(*view);
  PointerEvent event;
  event.left = true;
  const auto click = [&](double x, double y, bool shift) {
    event.at = {x, y};
    event.shift = shift;
    for (const auto kind : {PointerEvent::Kind::Press, PointerEvent::Kind::Release}) {
      event.kind = kind;
      view->pointer(event, context());
    }
  };
  const InspectHover first = hover_at(*view, 200, 150), second = hover_at(*view, 200, 350);
  ASSERT_GE(first.query, 0);
  ASSERT_NE(first.query, second.query);
  click(200, 150, false);
  EXPECT_EQ(inspection_.locked(), (std::vector<std::int64_t>{first.query}));
  click(200, 350, true);
  EXPECT_EQ(inspection_.locked(), (std::vector<std::int64_t>{first.query, second.query}));
  click(200, 350, false);
  EXPECT_EQ(inspection_.locked(), (std::vector<std::int64_t>{second.query}));
  event.kind = PointerEvent::Kind::Leave;
  view->pointer(event, context());
  EXPECT_EQ(inspection_.hover().query, -1);
}

TEST_F(MapViews, PoolingIsWhatItSays) {
  write({});
  InspectCursor at = inspection_.cursor();
  const auto of_head = [&](int head) {
    at.head = head;
    return *map_level(inspection_, at, {});
  };
  const MapLevel a = of_head(0), b = of_head(1), c = of_head(2);
  using Pool = MapPooling;
  const MapLevel mean = *map_level(inspection_, at, {Pool::Over::Heads, Pool::By::Mean}), most = *map_level(inspection_, at, {Pool::Over::Heads, Pool::By::Max}),
                 least = *map_level(inspection_, at, {Pool::Over::Heads, Pool::By::Min});
  EXPECT_EQ(mean.maps, 3);
  for (std::size_t i = 0; i < a.density.size(); ++i) {
    EXPECT_NEAR(mean.density[i], (a.density[i] + b.density[i] + c.density[i]) / 3, 1e-9);
    EXPECT_EQ(most.density[i], std::max({a.density[i], b.density[i], c.density[i]}));
    EXPECT_EQ(least.density[i], std::min({a.density[i], b.density[i], c.density[i]}));
  }
  EXPECT_EQ(map_level(inspection_, at, {Pool::Over::Layers, Pool::By::Mean})->maps, 2);
  EXPECT_EQ(map_level(inspection_, at, {Pool::Over::Steps, Pool::By::Mean})->maps, 2);
}

TEST(MapLevels, CoarserKeepsTheMassAndTheBorderOfText) {
  std::vector<std::int64_t> edges = map_edges(70, true, 70 + 500, 64);
  const std::size_t cells = edges.size() - 1;
  std::vector<float> shares(cells * cells);
  for (std::size_t i = 0; i < shares.size(); ++i) shares[i] = static_cast<float>(1 + i % 13);
  const MapLevel fine = map_level(edges, shares, 64, "exact"), coarse = coarser(fine, 70);
  EXPECT_NE(std::find(coarse.edges.begin(), coarse.edges.end(), 70), coarse.edges.end());
  EXPECT_LT(coarse.cells(), fine.cells());
  const auto mass = [](const MapLevel& level) {
    double sum = 0;
    for (int i = 0; i < level.cells(); ++i)
      for (int j = 0; j < level.cells(); ++j)
        sum += level.density[static_cast<std::size_t>(i) * level.cells() + j] * static_cast<double>(level.edges[i + 1] - level.edges[i]) * static_cast<double>(level.edges[j + 1] - level.edges[j]);
    return sum;
  };
  EXPECT_NEAR(mass(coarse) / mass(fine), 1, 1e-6);
  MapLevel wrong = fine;
  wrong.edges.back() += 1;
  EXPECT_THROW(difference(fine, wrong), Error);
  EXPECT_THROW(map_level(edges, {1, 2}, 64, "exact"), Error);
}

TEST(MapLevels, QuadrantsHaveTheSharesOfTheirQueries) {
  // Text is tokens 0 to 3, video 4 to 11.
  const MapLevel level = map_level({0, 4, 8, 12}, {0.7F, 0.2F, 0.1F, 0.3F, 0.5F, 0.2F, 0.1F, 0.4F, 0.5F}, 4, "exact");
  const QuadrantShares shares = quadrant_shares(level, 0, 4);
  EXPECT_NEAR(shares.text_to_text, 0.7, 1e-6);
  EXPECT_NEAR(shares.text_to_video, 0.3, 1e-6);
  EXPECT_NEAR(shares.video_to_text, 0.2, 1e-6);
  EXPECT_NEAR(shares.video_to_video, 0.8, 1e-6);
  EXPECT_TRUE(std::isnan(quadrant_shares(level, 12, 12).text_to_text));
}

TEST(Tiles, CoverWhatIsVisibleOnceAndNeverMixTextWithVideo) {
  CaptureRun run;
  run.grid_frames = 5, run.grid_rows = 20, run.grid_columns = 20, run.text_tokens = 100;
  const TokenGeometry geometry(run);
  const auto tiles = tiles_over(geometry, true, 2, 90, 1500, 0, geometry.tokens());
  for (std::int64_t q = 90; q < 1500; q += 7) {
    for (std::int64_t k = 0; k < geometry.tokens(); k += 11) {
      const auto holds = [&](const TileArea& t) { return q >= t.query_begin && q < t.query_end && k >= t.key_begin && k < t.key_end; };
      ASSERT_EQ(std::count_if(tiles.begin(), tiles.end(), holds), 1);
    }
  }
  for (const TileArea& tile : tiles) {
    EXPECT_EQ(geometry.is_text(tile.query_begin), geometry.is_text(tile.query_end - 1));
    EXPECT_LE(tile.rows(), kTile);
  }
  EXPECT_EQ(tile_pool(2, 64, 2336, 32), 1);
  EXPECT_EQ(tile_pool(0.3, 64, 2336, 32), 4);
  EXPECT_EQ(tile_pool(0.01, 64, 2336, 32), 0);
  EXPECT_EQ(tile_pool(0.05, 64, 119056, 64), 0) << "a tile that takes long is not begun";
}

TEST(Masks, CellsSayWhatIsKeptAndWhy) {
  CaptureRun run;
  run.grid_frames = 4, run.grid_rows = 16, run.grid_columns = 16, run.text_tokens = 64;
  const TokenGeometry geometry(run);
  const auto plan = diagonal_plan(geometry.tokens(), 1);
  const MaskCells cells = mask_cells(*plan, geometry, map_edges(64, true, geometry.tokens(), 64));
  const int n = cells.cells();
  const auto reason = [&](int i, int j) { return static_cast<KeepReason>(cells.reasons[static_cast<std::size_t>(i) * n + j]); };
  EXPECT_EQ(reason(5, 0), KeepReason::Text);
  EXPECT_EQ(reason(5, 6), KeepReason::Window);
  EXPECT_EQ(reason(5, 9), KeepReason::None);
  EXPECT_EQ(cells.kept[static_cast<std::size_t>(5) * n + 9], 0);
  const PairState pair = pair_state(*plan, geometry, 5 * 64 + 3, 6 * 64 + 3);
  EXPECT_TRUE(pair.kept);
  EXPECT_EQ(pair.reason, KeepReason::Window);
  EXPECT_FALSE(pair_state(*plan, geometry, 5 * 64 + 3, 9 * 64).kept);
  double all = 0;
  for (const double share : reason_shares(cells)) all += share;
  EXPECT_NEAR(all, plan->kept_ratio, 1e-9);

  MapLevel map;
  map.edges = cells.edges;
  map.density.assign(cells.kept.size(), 0.001F / 64);
  map.density[static_cast<std::size_t>(5) * n + 9] = 0.05F / 64;   // skipped and heavy
  map.density[static_cast<std::size_t>(5) * n + 6] = 0.03F / 64;   // kept and heavy: as it should be
  const double uniform = 64.0 / static_cast<double>(cells.edges.back());  // share of a block of 64 keys
  const Damage damage = damage_of(cells, map, 0.015 / uniform, 0.002 / uniform);
  EXPECT_EQ(damage.heavy, 1);
  EXPECT_EQ(damage.state[static_cast<std::size_t>(5) * n + 9], 1);
  EXPECT_EQ(damage.state[static_cast<std::size_t>(5) * n + 6], 0);
  EXPECT_EQ(damage.state[static_cast<std::size_t>(5) * n + 5], 2) << "kept, and nearly nothing";
}

TEST_F(MapViews, ReasonsComeBackFromTheFile) {
  SyntheticCapture capture;
  capture.frames = 4, capture.rows = 16, capture.columns = 16, capture.text_tokens = 64;
  write(capture);
  const auto plan = inspection_.plan(inspection_.cursor());
  ASSERT_TRUE(plan);
  EXPECT_EQ(plan->reasons, diagonal_plan(capture.tokens(), 1)->reasons);
  const auto view = make_inspect_view("mask");
  view->set_control("damage", "off");
  EXPECT_GT(share(*paint(*view), theme_for_tests().colour("mask_window")), 0.005);
}

TEST_F(MapViews, TheHeadGridOpensWhatIsClicked) {
  SyntheticCapture capture;
  capture.layers = 5, capture.heads = 6;
  write(capture);
  const auto view = make_inspect_view("heads");
  paint(*view, 400, 400);
  const Rect area{34, 20, 400 - 34 - 44, 400 - 20 - 22};
  const CellLayout layout = cell_layout(area, 5, 6, 96, 1);
  for (const int cell : {0, 7, 29}) {
    const Rect rect = layout.rect(cell / 6, cell % 6);
    EXPECT_EQ(layout.pick({rect.x + rect.width / 2, rect.y + rect.height / 2}), cell);
    PointerEvent event;
    event.kind = PointerEvent::Kind::Press;
    event.left = true;
    event.at = {rect.x + rect.width / 2, rect.y + rect.height / 2};
    view->pointer(event, context(400, 400));
    EXPECT_EQ(inspection_.cursor().layer, cell / 6);
    EXPECT_EQ(inspection_.cursor().head, cell % 6);
  }
}

TEST_F(MapViews, ThousandsOfHeadsArePaintedAndSorted) {
  SyntheticCapture capture;
  capture.layers = capture.heads = 48;
  capture.steps = 1;
  write(capture);
  const auto view = make_inspect_view("heads");
  EXPECT_NO_THROW(paint(*view, 900, 800));
  view->set_control("sort", "recall");
  EXPECT_NO_THROW(paint(*view, 320, 300)) << "one colour a cell";
  EXPECT_EQ(sorted_cells({0.1, NAN, 0.5, 0.5}), (std::vector<int>{2, 3, 0, 1}));
}

TEST_F(MapViews, ControlsRefuseWhatTheyDoNotHave) {
  write({});
  for (const char* id : {"map", "heads", "mask", "rows", "overlap"}) {
    const auto view = make_inspect_view(id);
    for (const Control& control : view->controls(context())) {
      EXPECT_NO_THROW(view->set_control(control.name, control.value)) << id << " " << control.name;
      for (const std::string& choice : control.choices) EXPECT_NO_THROW(view->set_control(control.name, choice)) << id << " " << control.name;
      EXPECT_THROW(view->set_control(control.name, "nonsense"), Error) << id << " " << control.name;
    }
    EXPECT_THROW(view->set_control("nothing", "on"), Error) << id;
  }
}

}  // namespace
}  // namespace ditscope::views
