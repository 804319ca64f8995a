// Every view from 280 px up, with small and large text: no word is cut, none lies over another.
#include <gtest/gtest.h>

#include <set>

#include "tests/support/temporary_folder.h"
#include "tests/views/inspect/inspect_support.h"
#include "tests/views/inspect/layout_canvas.h"

namespace ditscope::views {
namespace {

struct Shape {
  int width, height;
  double unit;
};

class LayoutTest : public ::testing::TestWithParam<Shape> {
 protected:
  void SetUp() override {
    // A copy: opening one writes beside it.
    std::filesystem::copy_file(std::filesystem::path(DITSCOPE_SOURCE_DIR) / "resources/captures/tour.ditcap", folder_ / "run.ditcap");
    inspection_.open(folder_ / "run.ditcap");
    inspection_.set_cursor({1, 5, 3, 2, 1});
    const TokenGeometry& geometry = inspection_.run(1).geometry;
    inspection_.set_locked({geometry.token(1, 3, 4)});
  }
  void check(InspectView& view, const std::string& how) {
    const Shape shape = GetParam();
    const Rect area{0, 0, double(shape.width), double(shape.height)};
    ViewContext context{inspection_, inspection_.cursor(), theme_for_tests(), area};
    context.unit = shape.unit;
    LayoutCanvas canvas(area, shape.unit, theme_for_tests());
    view.paint(canvas, context);
    for (const std::string& fault : canvas.faults()) {
      if (told_.insert(view.info().id + fault).second) ADD_FAILURE() << view.info().id << how << ": " << fault;
    }
  }
  std::vector<Control> controls(const InspectView& view) {
    ViewContext context{inspection_, inspection_.cursor(), theme_for_tests(), {0, 0, 800, 600}};
    return view.controls(context);
  }
  test::TemporaryFolder folder_;
  Inspection inspection_{Inspection::Loading::AtOnce};
  std::set<std::string> told_;
};

TEST_P(LayoutTest, NoWordIsCutAndNoneLiesOverAnother) {
  for (const std::string& id : inspect_view_ids()) {
    const auto view = make_inspect_view(id);
    check(*view, "");
    // As each control can be, the others as they are at first.
    for (const Control& control : controls(*view)) {
      std::vector<std::string> values = control.choices;
      if (control.kind == Control::Kind::Switch) values = {control.value == "on" ? "off" : "on"};
      for (const std::string& value : values) {
        if (value == control.value) continue;
        const auto other = make_inspect_view(id);
        other->set_control(control.name, value);
        check(*other, " " + control.name + "=" + value);
      }
    }
  }
}

/// The window asks all of this of a view that was painted, whatever has been closed since.
TEST(ClosedCapture, EveryViewAnswersAsIfThereHadNeverBeenOne) {
  for (const std::string& id : inspect_view_ids()) {
    Inspection inspection(Inspection::Loading::AtOnce);
    inspection.open(std::filesystem::path(DITSCOPE_SOURCE_DIR) / "resources/captures/tour.ditcap");
    inspection.set_cursor({1, 5, 3, 2, 1});
    inspection.set_locked({inspection.run(1).geometry.token(1, 3, 4)});
    const Rect area{0, 0, 600, 500};
    const auto now = [&] { return ViewContext{inspection, inspection.cursor(), theme_for_tests(), area}; };
    const auto view = make_inspect_view(id);
    LayoutCanvas canvas(area, 1, theme_for_tests());
    view->paint(canvas, now());
    inspection.close_all();
    const auto ask_all = [&] {
      view->controls(now());
      view->spoken(now());
      EXPECT_TRUE(view->data(now()).empty()) << id;
      view->animated();
      for (const char* key : {"F", "N", "0", "1", "S", "Esc", "Space", ".", "W", "Shift"}) view->key(key, now());
      view->key_released("Shift", now());
      for (double x = 10; x < 600; x += 45) {
        for (double y = 10; y < 500; y += 45) {
          EXPECT_EQ(view->tooltip({x, y}, now()), "") << id;
          for (const auto kind : {PointerEvent::Kind::Move, PointerEvent::Kind::Press, PointerEvent::Kind::Release, PointerEvent::Kind::DoubleClick, PointerEvent::Kind::Wheel,
                                  PointerEvent::Kind::Leave}) {
            PointerEvent event;
            event.kind = kind;
            event.at = {x, y};
            event.left = true;
            event.notches = 1;
            view->pointer(event, now());
          }
        }
      }
      view->paint(canvas, now());
    };
    EXPECT_NO_THROW(ask_all()) << id;
  }
}

INSTANTIATE_TEST_SUITE_P(Shapes, LayoutTest,
                         ::testing::Values(Shape{280, 120, 1}, Shape{280, 240, 1}, Shape{280, 520, 0.8}, Shape{280, 520, 1.5}, Shape{322, 350, 1}, Shape{592, 350, 1},
                                           Shape{700, 720, 1}, Shape{600, 400, 2}, Shape{1200, 900, 1}),
                         [](const auto& shape) {
                           return std::to_string(shape.param.width) + "x" + std::to_string(shape.param.height) + "at" + std::to_string(static_cast<int>(shape.param.unit * 10));
                         });

}  // namespace
}  // namespace ditscope::views
