// The canvas of the window draws known data at the right places, and what the canvas of files draws.
#include "views/gl/imgui_canvas.h"

#include <gtest/gtest.h>

#include <QOffscreenSurface>
#include <QOpenGLContext>
#include <QOpenGLFramebufferObject>
#include <QtWidgets/QtWidgets>
#include <cmath>
#include <limits>

#include "views/gl/gl_objects.h"
#include "views/inspect/cairo_canvas.h"
#include "views/inspect/glyph_fonts.h"

namespace ditscope::test {
namespace {

using views::Align;
using views::Canvas;
using views::Colour;
using views::Dash;
using views::Sheet;
using views::TextStyle;

const views::Theme& theme() {
  static const views::Theme kTheme = views::built_in_theme(true);
  return kTheme;
}

/// OpenGL of a version, without a window.
class Offscreen {
 public:
  explicit Offscreen(std::pair<int, int> version) {
    QSurfaceFormat format;
    format.setRenderableType(QSurfaceFormat::OpenGL);
    format.setProfile(QSurfaceFormat::CoreProfile);
    format.setVersion(version.first, version.second);
    context_.setFormat(format);
    usable_ = context_.create() && context_.format().version() >= version;
    surface_.setFormat(context_.format());
    surface_.create();
    usable_ = usable_ && context_.makeCurrent(&surface_);
  }
  ~Offscreen() {
    canvas_.release();
    context_.doneCurrent();
  }
  bool usable() const { return usable_; }
  gl::ImGuiCanvas& canvas() { return canvas_; }

  template <typename Paint>
  QImage draw(const Sheet& sheet, const Paint& paint) {
    const int width = static_cast<int>(sheet.width_px * sheet.ratio), height = static_cast<int>(sheet.height_px * sheet.ratio);
    QOpenGLFramebufferObject target(width, height);
    target.bind();
    gl::viewport(width, height);
    gl::clear(0, 0, 0);
    canvas_.begin(sheet.width_px, sheet.height_px, sheet.ratio, sheet.unit, theme());
    paint(canvas_);
    canvas_.end();
    return target.toImage().convertToFormat(QImage::Format_RGB32);
  }

 private:
  QOpenGLContext context_;
  QOffscreenSurface surface_;
  gl::ImGuiCanvas canvas_;
  bool usable_ = false;
};

template <typename Paint>
QImage draw_with_cairo(const Sheet& sheet, const Paint& paint) {
  views::CairoCanvas canvas(views::CairoCanvas::Format::Pixels, sheet, theme());
  canvas.fill({0, 0, double(sheet.width_px), double(sheet.height_px)}, Colour({0, 0, 0}));
  paint(canvas);
  const auto bitmap = canvas.bitmap();
  return QImage(bitmap->rgba.data(), bitmap->width, bitmap->height, QImage::Format_RGBA8888).convertToFormat(QImage::Format_RGB32).copy();
}

/// Share of pixels of which a channel differs by more than `tolerance`.
double different(const QImage& a, const QImage& b, int tolerance) {
  EXPECT_EQ(a.size(), b.size());
  int count = 0;
  for (int y = 0; y < a.height(); ++y) {
    for (int x = 0; x < a.width(); ++x) {
      const QColor p = a.pixelColor(x, y), q = b.pixelColor(x, y);
      count += std::abs(p.red() - q.red()) > tolerance || std::abs(p.green() - q.green()) > tolerance || std::abs(p.blue() - q.blue()) > tolerance;
    }
  }
  return static_cast<double>(count) / (a.width() * a.height());
}

std::shared_ptr<const views::Bitmap> known_map() {
  std::vector<std::uint8_t> rgba;
  for (int y = 0; y < 8; ++y) {
    for (int x = 0; x < 8; ++x) {
      for (const int value : {30 * x, 30 * y, (x + y) % 2 * 255, 255}) rgba.push_back(static_cast<std::uint8_t>(value));
    }
  }
  return views::make_bitmap(8, 8, std::move(rgba));
}

class ImGuiCanvasTest : public ::testing::TestWithParam<std::pair<int, int>> {};

TEST_P(ImGuiCanvasTest, ShowsEachValueOfAKnownMapInItsPlace) {
  Offscreen gl(GetParam());
  ASSERT_TRUE(gl.usable());
  const auto map = known_map();
  for (const double ratio : {1.0, 2.0}) {
    const QImage image = gl.draw({100, 100, ratio}, [&](Canvas& canvas) { canvas.image(map, {10, 10, 80, 80}, {0, 0, 8, 8}); });
    for (int y = 0; y < 8; ++y) {
      for (int x = 0; x < 8; ++x) {
        for (const double inside : {0.5, 5.0, 9.5}) {
          const QColor pixel = image.pixelColor(static_cast<int>((10 + 10 * x + inside) * ratio), static_cast<int>((10 + 10 * y + inside) * ratio));
          EXPECT_EQ(pixel, QColor(30 * x, 30 * y, (x + y) % 2 * 255)) << x << " " << y << " at " << inside;
        }
      }
    }
  }
}

TEST_P(ImGuiCanvasTest, DrawsWhatTheCanvasOfFilesDraws) {
  Offscreen gl(GetParam());
  ASSERT_TRUE(gl.usable());
  const auto map = known_map();
  const auto paint = [&](Canvas& canvas) {
    canvas.fill({4, 4, 60, 30}, Colour({0.2F, 0.4F, 0.8F}));
    canvas.fill({10.3, 8.7, 20, 11}, Colour({1, 0.5F, 0}, 0.5F));
    canvas.outline({70, 4, 40, 30}, Colour({1, 1, 1}), 2);
    canvas.line({4, 40.2}, {110, 40.2}, Colour({0, 1, 0}));
    canvas.line({60, 36}, {60, 90}, Colour({1, 0, 0}), 1, Dash::Dashed);
    canvas.image(map, {66, 44, 40, 40}, {2, 2, 4, 4});
    canvas.band({{4, 80}, {20, 70}, {40, 80}}, {{4, 60}, {20, 50}, {40, 60}}, Colour({1, 1, 0}, 0.4F));
    canvas.push_clip({4, 90, 30, 6});
    canvas.fill({0, 80, 110, 40}, Colour({1, 0, 1}));
    canvas.pop_clip();
  };
  for (const Sheet& sheet : {Sheet{120, 110, 1, 1}, Sheet{120, 110, 2, 1}}) {
    // Soft edges of slanted lines and dashes may differ.
    EXPECT_LT(different(gl.draw(sheet, paint), draw_with_cairo(sheet, paint), 12), 0.02) << "at ratio " << sheet.ratio;
  }
}

TEST_P(ImGuiCanvasTest, SetsTextWhereTheCanvasOfFilesSetsIt) {
  Offscreen gl(GetParam());
  ASSERT_TRUE(gl.usable());
  const auto paint = [](Canvas& canvas) {
    TextStyle style;
    style.colour = Colour({1, 1, 1});
    canvas.text({8, 8}, "Attention map", style);
    style.face = views::Face::Numbers;
    style.horizontal = Align::End;
    style.vertical = Align::Middle;
    canvas.text({150, 40}, "0.8731", style);
    style.upwards = true;
    style.horizontal = Align::Middle;
    canvas.text({170, 50}, "query", style);
  };
  for (const Sheet& sheet : {Sheet{190, 100, 1, 1}, Sheet{190, 100, 2, 1.2}}) {
    const QImage ours = gl.draw(sheet, paint), files = draw_with_cairo(sheet, paint);
    EXPECT_LT(different(ours, files, 96), 0.012) << "at ratio " << sheet.ratio;
    EXPECT_GT(different(ours, QImage(ours.size(), QImage::Format_RGB32), 96), 0) << "there must be text";
  }
}

TEST_P(ImGuiCanvasTest, NeverBridgesAGapOfALine) {
  Offscreen gl(GetParam());
  ASSERT_TRUE(gl.usable());
  const double nan = std::numeric_limits<double>::quiet_NaN();
  const QImage image = gl.draw({60, 20, 1}, [&](Canvas& canvas) {
    canvas.polyline({{0, 10.5}, {20, 10.5}, {30, nan}, {40, 10.5}, {60, 10.5}}, Colour({1, 1, 1}));
    canvas.fill({nan, 0, 10, 10}, Colour({1, 0, 0}));
  });
  EXPECT_GT(image.pixelColor(10, 10).red(), 200);
  EXPECT_EQ(image.pixelColor(30, 10), QColor(0, 0, 0));
  EXPECT_GT(image.pixelColor(50, 10).red(), 200);
}

TEST_P(ImGuiCanvasTest, ForgetsTexturesThatAreNoLongerDrawnWhenRoomIsShort) {
  Offscreen gl(GetParam());
  ASSERT_TRUE(gl.usable());
  for (int i = 0; i < 12; ++i) {
    const auto large = views::make_bitmap(2048, 2048, std::vector<std::uint8_t>(std::size_t(4) * 2048 * 2048, static_cast<std::uint8_t>(20 * i)));
    const QImage image = gl.draw({20, 20, 1}, [&](Canvas& canvas) { canvas.image(large, {0, 0, 20, 20}, {0, 0, 2048, 2048}); });
    EXPECT_NEAR(image.pixelColor(10, 10).red(), 20 * i * 20 * i / 255.0, 2);  // over black
  }
  EXPECT_LE(gl.canvas().textures(), 8u);
}

std::string version_name(const ::testing::TestParamInfo<std::pair<int, int>>& info) {
  return "OpenGL" + std::to_string(info.param.first) + std::to_string(info.param.second);
}
INSTANTIATE_TEST_SUITE_P(Versions, ImGuiCanvasTest, ::testing::Values(std::pair(3, 3), std::pair(4, 5)), version_name);

}  // namespace
}  // namespace ditscope::test
