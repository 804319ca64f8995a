// What the window shows on displays with and without OpenGL: this program runs itself with other drivers and reads pixels.
#include <gtest/gtest.h>

#include <cstdio>

#include "app/gui/gl_support.h"
#include "app/gui/inspect/inspect_workspace.h"
#include "app/gui/style/style.h"
#include "tests/views/window/window_fixture.h"
#include "views/inspect/cairo_canvas.h"

namespace ditscope::test {
namespace {

QImage opaque(const QImage& image) { return image.convertToFormat(QImage::Format_RGB32); }

/// Share of pixels of which a channel differs by more than `tolerance`.
double different(const QImage& a, const QImage& b, int tolerance = 24) {
  if (a.size() != b.size()) return 1;
  int count = 0;
  for (int y = 0; y < a.height(); ++y) {
    for (int x = 0; x < a.width(); ++x) {
      const QColor p = a.pixelColor(x, y), q = b.pixelColor(x, y);
      count += std::abs(p.red() - q.red()) > tolerance || std::abs(p.green() - q.green()) > tolerance || std::abs(p.blue() - q.blue()) > tolerance;
    }
  }
  return static_cast<double>(count) / (a.width() * a.height());
}

class AnyDisplayTest : public WindowTest {
 protected:
  void SetUp() override {
    WindowTest::SetUp();
    file_ = folder_.path() / "run.ditcap";
    std::filesystem::copy_file(std::filesystem::path(DITSCOPE_SOURCE_DIR) / "resources/captures/tour.ditcap", file_);
  }
  void settle(int ms = 400) { QTest::qWait(ms); }
  gui::ViewWidget* view(const char* id) {
    window_->inspect()->show_view(id);
    settle();
    return window_->inspect()->view(id);
  }
  /// The view as the canvas of files draws it.
  static QImage expected(const gui::ViewWidget& view) {
    const views::ViewContext now = view.view_context();
    views::CairoCanvas canvas(views::CairoCanvas::Format::Pixels, {view.width(), view.height(), now.ratio, now.unit}, now.theme);
    views::paint_view(canvas, view.view(), now.inspection, now.cursor, now.theme, {view.width(), view.height(), now.ratio, now.unit});
    const auto bitmap = canvas.bitmap();
    return opaque(QImage(bitmap->rgba.data(), bitmap->width, bitmap->height, QImage::Format_RGBA8888)).copy();
  }
  std::filesystem::path file_;
};

TEST_F(AnyDisplayTest, ShowsWhatTheCanvasOfFilesDraws) {
  ASSERT_TRUE(window_->open_capture(file_));
  for (const char* id : {"heads", "map", "mask", "drift", "timeline"}) {
    gui::ViewWidget* shown = view(id);
    EXPECT_EQ(shown->uses_gl(), gui::gl_usable());
    const QImage image = opaque(shown->grab().toImage());
    QSet<QRgb> colours;
    for (int y = 0; y < image.height(); y += 3) {
      for (int x = 0; x < image.width(); x += 3) colours.insert(image.pixel(x, y));
    }
    EXPECT_GT(colours.size(), 12) << id;
    EXPECT_LT(different(image, expected(*shown)), 0.03) << id;
  }
  std::printf("OpenGL: %s\n", gui::gl_usable() ? "yes" : "no");
}

TEST_F(AnyDisplayTest, ShowsTheSameInAnotherWindow) {
  ASSERT_TRUE(window_->open_capture(file_));
  QWidget first, second;
  for (QWidget* host : {&first, &second}) host->resize(400, 320), host->show();
  auto* shown = new gui::ViewWidget(window_->inspect_session(), "heads", &first);
  shown->resize(400, 320);
  shown->show();
  settle();
  const QImage before = opaque(shown->grab().toImage());
  // Another window is another context.
  shown->setParent(&second);
  shown->show();
  settle();
  EXPECT_LT(different(opaque(shown->grab().toImage()), before), 0.001);
  EXPECT_EQ(shown->uses_gl(), gui::gl_usable());
}

TEST_F(AnyDisplayTest, DrawsOnWithoutOpenGLWhereTheDriverFailsTwice) {
  ASSERT_TRUE(window_->open_capture(file_));
  gui::ViewWidget* shown = view("heads");
  QSignalSpy failed(shown, &gui::ViewWidget::gl_failed);
  const QImage before = opaque(shown->grab().toImage());
  shown->give_up_gl("reset");
  settle();
  EXPECT_EQ(shown->uses_gl(), gui::gl_usable()) << "a new context";
  EXPECT_LT(different(opaque(shown->grab().toImage()), before), 0.001);
  shown->give_up_gl("reset");
  settle();
  EXPECT_FALSE(shown->uses_gl());
  EXPECT_EQ(failed.count(), gui::gl_usable() ? 1 : 0);
  if (gui::gl_usable()) {
    ASSERT_FALSE(session_->messages().empty());
    EXPECT_TRUE(session_->messages().front().text.contains("processor"));
  }
  EXPECT_LT(different(opaque(shown->grab().toImage()), expected(*shown)), 0.001);
}

struct Driver {
  const char* name;
  std::vector<std::pair<const char*, const char*>> environment;
  bool opengl;
};

class DriverTest : public ::testing::TestWithParam<Driver> {};

TEST_P(DriverTest, ShowsKnownPixels) {
  QProcessEnvironment environment = QProcessEnvironment::systemEnvironment();
  for (const auto& [name, value] : GetParam().environment) {
    if (*value) {
      environment.insert(name, value);
    } else {
      environment.remove(name);
    }
  }
  QProcess process;
  process.setProcessEnvironment(environment);
  process.setProcessChannelMode(QProcess::MergedChannels);
  process.start(QCoreApplication::applicationFilePath(),
                {"--gtest_filter=AnyDisplayTest.ShowsWhatTheCanvasOfFilesDraws:WindowTest.TheViewDrawsAOnTheLeftOfTheWipeAndBOnTheRight"});
  ASSERT_TRUE(process.waitForFinished(120'000)) << "still busy";
  const QByteArray said = process.readAll();
  EXPECT_EQ(process.exitCode(), 0) << said.toStdString();
  EXPECT_EQ(process.exitStatus(), QProcess::NormalExit);
  EXPECT_TRUE(said.contains("[  PASSED  ] 2 tests")) << said.toStdString();
  EXPECT_TRUE(said.contains(GetParam().opengl ? "OpenGL: yes" : "OpenGL: no")) << said.toStdString();
}

INSTANTIATE_TEST_SUITE_P(Drivers, DriverTest,
                         ::testing::Values(Driver{"OpenGL33", {{"MESA_GL_VERSION_OVERRIDE", "3.3"}, {"MESA_GLSL_VERSION_OVERRIDE", "330"}}, true},
                                           Driver{"OpenGL21", {{"MESA_GL_VERSION_OVERRIDE", "2.1"}, {"MESA_GLSL_VERSION_OVERRIDE", "120"}}, false},
                                           Driver{"X11WithoutOpenGL", {{"QT_XCB_GL_INTEGRATION", "none"}}, false},
                                           Driver{"NoDisplay", {{"QT_QPA_PLATFORM", "offscreen"}, {"DISPLAY", ""}}, false}),
                         [](const ::testing::TestParamInfo<Driver>& info) { return std::string(info.param.name); });

}  // namespace
}  // namespace ditscope::test
