#include "views/inspect/cairo_canvas.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "kernels/error.h"
#include "tests/support/temporary_folder.h"
#include "views/inspect/glyph_fonts.h"

namespace ditscope::views {
namespace {

using Format = CairoCanvas::Format;

const Theme& dark() {
  static const Theme kTheme = built_in_theme(true);
  return kTheme;
}

struct Rgba {
  int r, g, b, a;
  bool operator==(const Rgba&) const = default;
};
std::ostream& operator<<(std::ostream& out, const Rgba& c) { return out << c.r << " " << c.g << " " << c.b << " " << c.a; }

Rgba pixel(const CairoCanvas& canvas, int x, int y) {
  const auto bitmap = canvas.bitmap();
  const std::uint8_t* p = bitmap->rgba.data() + 4 * (std::size_t(y) * bitmap->width + x);
  return {p[0], p[1], p[2], p[3]};
}

std::shared_ptr<const Bitmap> checker() {
  return make_bitmap(3, 2, {255, 0, 0, 255, 0, 255, 0, 255, 0, 0, 255, 255, 10, 20, 30, 255, 255, 255, 255, 255, 0, 0, 0, 255});
}

TEST(CairoCanvas, ShowsEachPixelOfABitmapAsASquareOfItsOwnColour) {
  for (const double ratio : {1.0, 2.0}) {
    CairoCanvas canvas(Format::Pixels, {60, 40, ratio}, dark());
    canvas.image(checker(), {10, 10, 30, 20}, {0, 0, 3, 2});
    const auto at = [&](double x, double y) { return pixel(canvas, static_cast<int>(x * ratio), static_cast<int>(y * ratio)); };
    EXPECT_EQ(at(10, 10), (Rgba{255, 0, 0, 255}));
    EXPECT_EQ(at(19, 19), (Rgba{255, 0, 0, 255}));
    EXPECT_EQ(at(20, 19), (Rgba{0, 255, 0, 255}));
    EXPECT_EQ(at(39, 10), (Rgba{0, 0, 255, 255}));
    EXPECT_EQ(at(10, 20), (Rgba{10, 20, 30, 255}));
    EXPECT_EQ(at(25, 29), (Rgba{255, 255, 255, 255}));
    EXPECT_EQ(at(9, 9).a, 0);
    EXPECT_EQ(at(40, 10).a, 0);
  }
}

TEST(CairoCanvas, ShowsAPartOfABitmapStretchedOverItsTarget) {
  CairoCanvas canvas(Format::Pixels, {40, 40}, dark());
  canvas.image(checker(), {0, 0, 40, 40}, {1, 0, 1, 1});
  EXPECT_EQ(pixel(canvas, 0, 0), (Rgba{0, 255, 0, 255}));
  EXPECT_EQ(pixel(canvas, 39, 39), (Rgba{0, 255, 0, 255}));
}

TEST(CairoCanvas, NeverBridgesAGapOfALine) {
  CairoCanvas canvas(Format::Pixels, {60, 20}, dark());
  const double nan = std::numeric_limits<double>::quiet_NaN();
  canvas.polyline({{0, 10.5}, {20, 10.5}, {30, nan}, {40, 10.5}, {60, 10.5}}, Colour({1, 1, 1}), 1);
  EXPECT_GT(pixel(canvas, 10, 10).a, 200);
  EXPECT_EQ(pixel(canvas, 30, 10).a, 0);
  EXPECT_GT(pixel(canvas, 50, 10).a, 200);
}

TEST(CairoCanvas, DrawsALineOfOnePixelSharp) {
  CairoCanvas canvas(Format::Pixels, {20, 20}, dark());
  canvas.line({10.3, 0}, {10.3, 20}, Colour({1, 1, 1}));
  int painted = 0;
  for (int x = 0; x < 20; ++x) painted += pixel(canvas, x, 10).a > 0;
  EXPECT_EQ(painted, 1);
}

TEST(CairoCanvas, ClipsToTheIntersection) {
  CairoCanvas canvas(Format::Pixels, {40, 40}, dark());
  canvas.push_clip({0, 0, 20, 40});
  canvas.push_clip({10, 0, 30, 40});
  canvas.fill({0, 0, 40, 40}, Colour({1, 0, 0}));
  canvas.pop_clip();
  canvas.pop_clip();
  EXPECT_EQ(pixel(canvas, 5, 5).a, 0);
  EXPECT_EQ(pixel(canvas, 15, 5).a, 255);
  EXPECT_EQ(pixel(canvas, 25, 5).a, 0);
}

TEST(CairoCanvas, FillsTheBandBetweenTwoCurvesAndLeavesGaps) {
  CairoCanvas canvas(Format::Pixels, {50, 40}, dark());
  const double nan = std::numeric_limits<double>::quiet_NaN();
  canvas.band({{0, 30}, {10, 30}, {20, nan}, {30, 30}, {50, 30}}, {{0, 10}, {10, 10}, {20, 10}, {30, 10}, {50, 10}}, Colour({1, 1, 0}));
  EXPECT_EQ(pixel(canvas, 5, 20).a, 255);
  EXPECT_EQ(pixel(canvas, 20, 20).a, 0);
  EXPECT_EQ(pixel(canvas, 40, 20).a, 255);
  EXPECT_EQ(pixel(canvas, 40, 5).a, 0);
}

TEST(CairoCanvas, MeasuresTextInProportionToItsSizeAndTheTextScale) {
  TextStyle small, large;
  small.size = 11;
  large.size = 22;
  const CairoCanvas canvas(Format::Pixels, {10, 10}, dark()), doubled(Format::Pixels, {10, 10, 1, 2}, dark());
  EXPECT_NEAR(canvas.text_width("attention", large), 2 * canvas.text_width("attention", small), 1e-9);
  EXPECT_NEAR(doubled.text_width("attention", small), canvas.text_width("attention", large), 1e-9);
}

TEST(CairoCanvas, SetsTextWhereItsAlignmentSays) {
  TextStyle style;
  style.face = Face::Numbers;
  style.colour = Colour({1, 1, 1});
  style.horizontal = Align::End;
  style.vertical = Align::Middle;
  CairoCanvas canvas(Format::Pixels, {80, 40}, dark());
  canvas.text({60, 20}, "888", style);
  const double width = canvas.text_width("888", style);
  bool left = false, right = false, far = false, above = false, below = false;
  for (int y = 0; y < 40; ++y) {
    for (int x = 0; x < 80; ++x) {
      if (pixel(canvas, x, y).a < 64) continue;
      left = left || x < 60 - width / 2;
      right = right || x > 60 - width / 2;
      far = far || x >= 61 || x < 59 - width;
      above = above || y < 14;
      below = below || y > 26;
    }
  }
  EXPECT_TRUE(left && right);
  EXPECT_FALSE(far);
  EXPECT_FALSE(above || below);
}

TEST(CairoCanvas, TurnsTextUpwards) {
  TextStyle style;
  style.colour = Colour({1, 1, 1});
  style.upwards = true;
  CairoCanvas canvas(Format::Pixels, {40, 100}, dark());
  canvas.text({10, 90}, "query token", style);
  int lowest = 0, highest = 100, widest = 0;
  for (int y = 0; y < 100; ++y) {
    for (int x = 0; x < 40; ++x) {
      if (pixel(canvas, x, y).a < 64) continue;
      lowest = std::max(lowest, y);
      highest = std::min(highest, y);
      widest = std::max(widest, x);
    }
  }
  EXPECT_LE(lowest, 91);
  EXPECT_LT(highest, 45);
  EXPECT_LT(widest, 28);
}

TEST(CairoCanvas, FillsTheGapsOfItsFontsWithAnother) {
  EXPECT_EQ(find_glyph(Face::Numbers, 'A').file, FontFile::Numbers);
  const FontGlyph braille = find_glyph(Face::Words, 0x2811);
  EXPECT_EQ(braille.file, FontFile::Fallback);
  EXPECT_NE(braille.index, 0u);
}

TEST(CairoCanvas, RefusesASheetWithoutAreaOrTooLarge) {
  EXPECT_THROW(CairoCanvas(Format::Pixels, {0, 10}, dark()), Error);
  EXPECT_THROW(CairoCanvas(Format::Pixels, {20000, 10, 2}, dark()), Error);
}

TEST(CairoCanvas, MakesFilesOfTheirKind) {
  for (const auto& [format, begin] : {std::pair(Format::Pixels, "\x89PNG"), std::pair(Format::Svg, "<?xml"), std::pair(Format::Pdf, "%PDF-")}) {
    CairoCanvas canvas(format, {64, 48, 2}, dark());
    canvas.image(checker(), {0, 0, 30, 20}, {0, 0, 3, 2});
    const std::string bytes = canvas.finish();
    EXPECT_EQ(bytes.substr(0, std::string(begin).size()), begin);
    EXPECT_GT(bytes.size(), 200u);
  }
}

TEST(CairoCanvas, StatesTheResolutionOfAPng) {
  CairoCanvas canvas(Format::Pixels, {64, 48, 2}, dark());
  const std::string bytes = canvas.finish();
  const std::size_t at = bytes.find("pHYs");
  ASSERT_NE(at, std::string::npos);
  std::uint32_t per_metre = 0;
  for (int i = 0; i < 4; ++i) per_metre = per_metre << 8 | static_cast<unsigned char>(bytes[at + 4 + i]);
  EXPECT_EQ(per_metre, 7559u);  // 192 dpi
}

TEST(ExportView, RefusesAnotherEndingAndWritesNothing) {
  const test::TemporaryFolder folder;
  Inspection inspection(Inspection::Loading::AtOnce);
  const auto view = make_inspect_view("summary");
  EXPECT_THROW(export_view(*view, inspection, {}, dark(), {}, folder.path() / "a.bmp"), Error);
  EXPECT_TRUE(std::filesystem::is_empty(folder.path()));
}

TEST(ExportView, PaintsEveryViewWithoutACaptureInEverySize) {
  for (const std::string& id : inspect_view_ids()) {
    for (const Sheet& sheet : {Sheet{280, 200, 1, 1}, Sheet{1600, 900, 1, 2}, Sheet{40, 30, 1, 0.8}}) {
      Inspection inspection(Inspection::Loading::AtOnce);
      const auto view = make_inspect_view(id);
      CairoCanvas canvas(Format::Pixels, sheet, dark());
      EXPECT_NO_THROW(paint_view(canvas, *view, inspection, {}, dark(), sheet)) << id;
    }
  }
}

}  // namespace
}  // namespace ditscope::views
