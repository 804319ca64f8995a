// Section by section what a person does in the Inspect workspace, with the mouse and the keys of one.
#include <gtest/gtest.h>

#include "app/gui/inspect/cursor_bar.h"
#include "app/gui/inspect/inspect_workspace.h"
#include "app/gui/style/style.h"
#include "app/gui/widgets/basics.h"
#include "tests/views/window/window_fixture.h"

namespace ditscope::test {
namespace {

class InspectUseTest : public WindowTest {
 protected:
  void SetUp() override {
    WindowTest::SetUp();
    ASSERT_TRUE(window_->open_capture(std::filesystem::path(DITSCOPE_SOURCE_DIR) / "resources/captures/tour.ditcap"));
    settle();
  }
  void settle(int ms = 200) { QTest::qWait(ms); }
  views::Inspection& inspection() { return window_->inspect_session().inspection(); }
  gui::InspectWorkspace& work() { return *window_->inspect(); }
  gui::ViewWidget* view(const char* id) {
    work().show_view(id);
    settle();
    return work().view(id);
  }
  static std::string control(gui::ViewWidget* view, const std::string& name) {
    for (const views::Control& each : view->view().controls(view->view_context())) {
      if (each.name == name) return each.value;
    }
    return {};
  }
  /// A place of the view whose tooltip begins so; (-1, -1): none.
  static QPoint place(gui::ViewWidget* view, const std::string& beginning) {
    for (int y = 4; y < view->height(); y += 4) {
      for (int x = 4; x < view->width(); x += 4) {
        if (view->view().tooltip({double(x), double(y)}, view->view_context()).rfind(beginning, 0) == 0) return {x, y};
      }
    }
    return {-1, -1};
  }
  static QImage picture(gui::ViewWidget* view) { return view->grab().toImage().convertToFormat(QImage::Format_RGB32); }
  static void wheel(QWidget* widget, QPoint at, int angle, Qt::KeyboardModifiers modifiers = {}) {
    QWheelEvent event(at, widget->mapToGlobal(QPointF(at)), {}, {0, angle}, Qt::NoButton, modifiers, Qt::NoScrollPhase, false);
    QApplication::sendEvent(widget, &event);
  }
  static void drag(QWidget* widget, QPoint from, QPoint to, Qt::MouseButton button = Qt::LeftButton) {
    QTest::mousePress(widget, button, {}, from);
    for (int i = 1; i <= 4; ++i) {
      const QPoint at = from + (to - from) * i / 4;
      QMouseEvent move(QEvent::MouseMove, at, widget->mapToGlobal(QPointF(at)), Qt::NoButton, button, {});
      QApplication::sendEvent(widget, &move);
    }
    QTest::mouseRelease(widget, button, {}, to);
  }
  void key(QWidget* at, Qt::Key key, Qt::KeyboardModifiers modifiers = {}) {
    at->setFocus();
    QTest::keyClick(at, key, modifiers);
    settle(60);
  }
};

TEST_F(InspectUseTest, AClickOpensAHeadAndADoubleClickShowsItAlone) {
  gui::ViewWidget* heads = view("heads");
  const QPoint at = place(heads, "Layer 3, head 5");
  ASSERT_GE(at.x(), 0);
  QTest::mouseClick(heads, Qt::LeftButton, {}, at);
  EXPECT_EQ(inspection().cursor().layer, 3);
  EXPECT_EQ(inspection().cursor().head, 5);
  QTest::mouseDClick(heads, Qt::LeftButton, {}, at);
  settle();
  EXPECT_LT(place(heads, "Layer 0, head 0").x(), 0) << "one head alone";
  EXPECT_GE(place(heads, "Layer 3, head 5").x(), 0);
  QTest::mouseDClick(heads, Qt::LeftButton, {}, QPoint(heads->width() / 2, heads->height() / 2));
  settle();
  EXPECT_GE(place(heads, "Layer 0, head 0").x(), 0) << "all again";
}

TEST_F(InspectUseTest, TheWheelZoomsTheMapADragMovesItAndFFitsIt) {
  gui::ViewWidget* map = view("map");
  const QPoint middle(map->width() * 2 / 5, map->height() * 2 / 5);
  key(map, Qt::Key_F);
  settle();
  const auto query_at = [&](QPoint at) {
    QTest::mouseMove(map, at);
    QMouseEvent move(QEvent::MouseMove, at, map->mapToGlobal(QPointF(at)), Qt::NoButton, Qt::NoButton, {});
    QApplication::sendEvent(map, &move);
    return inspection().hover().query;
  };
  const std::int64_t under = query_at(middle), beside = query_at(middle + QPoint(0, 40));
  ASSERT_GE(under, 0);
  for (int i = 0; i < 16; ++i) wheel(map, middle, 120);
  settle();
  EXPECT_EQ(query_at(middle), under) << "what is under the mouse stays there";
  EXPECT_LT(std::abs(query_at(middle + QPoint(0, 40)) - under), std::abs(beside - under)) << "2^(16/8) closer";
  drag(map, middle, middle + QPoint(0, 40));
  EXPECT_EQ(query_at(middle + QPoint(0, 40)), under) << "the map goes with the hand";
  EXPECT_TRUE(inspection().locked().empty()) << "a drag is no click";
  key(map, Qt::Key_F);
  settle();
  EXPECT_EQ(query_at(middle), under);
  EXPECT_EQ(query_at(middle + QPoint(0, 40)), beside);
}

TEST_F(InspectUseTest, ATokenOfTheMapIsMarkedInTheOtherViews) {
  gui::ViewWidget* map = view("map");
  std::vector<gui::ViewWidget*> others{view("outputs"), view("mask"), view("drift")};
  settle(800);
  const QPoint at(map->width() * 2 / 5, map->height() * 2 / 5);
  std::vector<QImage> before;
  for (gui::ViewWidget* other : others) before.push_back(picture(other));
  QTest::mouseClick(map, Qt::LeftButton, {}, at);
  settle(800);
  ASSERT_EQ(inspection().locked().size(), 1u);
  for (std::size_t i = 0; i < others.size(); ++i) EXPECT_NE(picture(others[i]), before[i]) << others[i]->id();
  EXPECT_TRUE(work().status().startsWith("Locked: token")) << work().status().toStdString();
  QTest::mouseClick(map, Qt::LeftButton, Qt::ShiftModifier, at + QPoint(0, 60));
  EXPECT_EQ(inspection().locked().size(), 2u) << "Shift adds";
  key(map, Qt::Key_Escape);
  EXPECT_TRUE(inspection().locked().empty());
}

TEST_F(InspectUseTest, APixelOfTheOutputIsATokenAndALassoMany) {
  gui::ViewWidget* outputs = view("outputs");
  settle(800);
  const QPoint at = place(outputs, "token (");
  // The mouse has to be over it before a tooltip knows its pixel.
  QPoint pixel(-1, -1);
  for (int y = 8; y < outputs->height() && pixel.x() < 0; y += 6) {
    for (int x = 8; x < outputs->width() && pixel.x() < 0; x += 6) {
      QMouseEvent move(QEvent::MouseMove, QPointF(x, y), outputs->mapToGlobal(QPointF(x, y)), Qt::NoButton, Qt::NoButton, {});
      QApplication::sendEvent(outputs, &move);
      if (inspection().hover().query >= 0) pixel = {x, y};
    }
  }
  ASSERT_GE(std::max(at.x(), pixel.x()), 0);
  const QPoint start = pixel + QPoint(10, 10);
  QTest::mouseClick(outputs, Qt::LeftButton, {}, start);
  ASSERT_EQ(inspection().locked().size(), 1u);
  QTest::mousePress(outputs, Qt::LeftButton, {}, start);
  for (const QPoint& to : {start + QPoint(60, 0), start + QPoint(60, 60), start + QPoint(0, 60), start}) {
    QMouseEvent move(QEvent::MouseMove, to, outputs->mapToGlobal(QPointF(to)), Qt::NoButton, Qt::LeftButton, {});
    QApplication::sendEvent(outputs, &move);
  }
  QTest::mouseRelease(outputs, Qt::LeftButton, {}, start);
  EXPECT_GT(inspection().locked().size(), 1u);
  EXPECT_TRUE(work().status().endsWith(QString(" and %1 more").arg(inspection().locked().size() - 1)) || work().status().contains("more     Hover")) << work().status().toStdString();
}

TEST_F(InspectUseTest, HoldingShiftOverTheOutputsShowsTheOtherRunUntilItComesUp) {
  gui::ViewWidget* outputs = view("outputs");
  outputs->setFocus();
  key(outputs, Qt::Key_1);
  EXPECT_EQ(control(outputs, "mode"), "A");
  settle(800);
  const QImage a = picture(outputs);
  QTest::keyPress(outputs, Qt::Key_Shift, Qt::ShiftModifier);
  EXPECT_TRUE(wait([&] { return picture(outputs) != a; }, 5000)) << "as soon as the other run's frames are there";
  EXPECT_TRUE(outputs->view().animated());
  QTest::keyRelease(outputs, Qt::Key_Shift);
  EXPECT_FALSE(outputs->view().animated());
  EXPECT_TRUE(wait([&] { return picture(outputs) == a; }, 5000));
  // Another view has the focus, and Shift there is for adding tokens.
  gui::ViewWidget* map = view("map");
  map->setFocus();
  QTest::keyPress(map, Qt::Key_Shift, Qt::ShiftModifier);
  if (!outputs->underMouse()) {
    EXPECT_FALSE(outputs->view().animated());
  }
  QTest::keyRelease(map, Qt::Key_Shift);
}

TEST_F(InspectUseTest, DraggingOverTheTimelineScrubs) {
  gui::ViewWidget* timeline = view("timeline");
  settle(600);
  const QPoint first = place(timeline, "Step 1,"), last = place(timeline, "Step 4,");
  ASSERT_GE(first.x(), 0);
  ASSERT_GE(last.x(), 0);
  QTest::mousePress(timeline, Qt::LeftButton, {}, first);
  EXPECT_EQ(inspection().cursor().step, 1);
  QMouseEvent move(QEvent::MouseMove, last, timeline->mapToGlobal(QPointF(last)), Qt::NoButton, Qt::LeftButton, {});
  QApplication::sendEvent(timeline, &move);
  EXPECT_EQ(inspection().cursor().step, 4);
  QTest::mouseRelease(timeline, Qt::LeftButton, {}, last);
  // W zooms about the cursor, D goes on, F shows all; also while another view has the focus.
  gui::ViewWidget* summary = view("summary");
  summary->setFocus();
  settle();
  const QImage all = picture(timeline);
  key(summary, Qt::Key_W);
  EXPECT_NE(picture(timeline), all);
  key(timeline, Qt::Key_F);
  summary->setFocus();
  settle();
  EXPECT_EQ(picture(timeline), all);
}

TEST_F(InspectUseTest, AutorangeAndModesHaveKeys) {
  gui::ViewWidget* outputs = view("outputs");
  const std::pair<Qt::Key, const char*> modes[] = {{Qt::Key_2, "B"}, {Qt::Key_3, "wipe"}, {Qt::Key_4, "side by side"}, {Qt::Key_5, "difference"}};
  for (const auto& [number, name] : modes) {
    key(outputs, number);
    EXPECT_EQ(control(outputs, "mode"), name);
  }
  const std::string difference = control(outputs, "difference");
  key(outputs, Qt::Key_0);
  EXPECT_NE(control(outputs, "difference"), difference);
  key(outputs, Qt::Key_S);
  EXPECT_EQ(control(outputs, "swap"), "on");
  key(outputs, Qt::Key_S);
  key(outputs, Qt::Key_Period);
  EXPECT_EQ(control(outputs, "frame"), "1");
  key(outputs, Qt::Key_Space);
  EXPECT_EQ(control(outputs, "play"), "on");
  key(outputs, Qt::Key_Space);
  EXPECT_EQ(control(outputs, "play"), "off");
}

TEST_F(InspectUseTest, AControlThatIsPressedChangesThePictureAtOnce) {
  for (const auto& [id, control] : {std::pair("mask", "control-damage"), std::pair("map", "control-autofit"), std::pair("outputs", "control-magnifier")}) {
    gui::ViewWidget* one = view(id);
    settle(800);
    auto* button = one->parentWidget()->findChild<QPushButton*>(control);
    ASSERT_NE(button, nullptr) << id;
    QSignalSpy painted(one, &gui::ViewWidget::controls_asked);
    QTest::qWait(300);
    painted.clear();  // nothing moves: no mouse, no data on their way
    button->click();
    EXPECT_TRUE(painted.count() > 0 || painted.wait(3000)) << id;
    button->click();
  }
}

TEST_F(InspectUseTest, F6GoesRoundTheDocksAndTheFocusIsSeen) {
  view("heads")->setFocus();
  QSet<QWidget*> seen;
  for (int i = 0; i < 6; ++i) {
    auto* focus = qobject_cast<gui::ViewWidget*>(QApplication::focusWidget());
    ASSERT_NE(focus, nullptr);
    seen.insert(focus);
    settle(60);
    const QColor accent = gui::Style::current().colour("accent");
    EXPECT_EQ(picture(focus).pixelColor(0, focus->height() / 2), accent) << focus->id();
    QTest::keyClick(focus, Qt::Key_F6);
  }
  EXPECT_EQ(seen.size(), 6);
  EXPECT_EQ(QApplication::focusWidget(), view("heads"));
}

TEST_F(InspectUseTest, EveryViewAndEveryControlSaysWhatItIs) {
  for (gui::ViewWidget* one : work().views()) {
    const views::ViewInfo& info = one->view().info();
    EXPECT_FALSE(info.summary.empty()) << info.id;
    EXPECT_FALSE(info.formula.empty()) << info.id;
    EXPECT_FALSE(info.source.empty()) << info.id;
    const QPushButton* tab = nullptr;
    for (const QPushButton* button : work().findChildren<QPushButton*>()) {
      if (button->text() == QString::fromStdString(info.title)) tab = button;
    }
    ASSERT_NE(tab, nullptr) << info.id;
    EXPECT_TRUE(tab->toolTip().contains(QString::fromStdString(info.source).toHtmlEscaped())) << info.id;
    work().show_view(info.id);
    settle(30);
    for (const views::Control& control : one->view().controls(one->view_context())) {
      EXPECT_GE(control.tooltip.size(), 8u) << info.id << " " << control.name << ": " << control.tooltip;
      QWidget* found = nullptr;
      for (QWidget* each : work().findChildren<QWidget*>("control-" + QString::fromStdString(control.name))) {
        if (each->toolTip().contains(QString::fromStdString(control.tooltip).toHtmlEscaped())) found = each;
      }
      EXPECT_NE(found, nullptr) << info.id << " " << control.name;
    }
  }
}

TEST_F(InspectUseTest, NoViewIsNarrowerThan280PxAndNothingLeavesTheWindow) {
  struct Shape {
    int width, height;
    double scale;
  };
  for (const Shape& shape : {Shape{1024, 700, 1}, Shape{1280, 800, 1}, Shape{1280, 800, 2}, Shape{1600, 1000, 1.5}, Shape{1600, 1000, 0.8}, Shape{2300, 1200, 1}}) {
    QSettings().setValue("look/textScale", shape.scale);
    window_->resize(shape.width, shape.height);
    window_->apply_look();
    settle(300);
    inspection().set_locked({40});
    settle(100);
    for (gui::ViewWidget* one : work().views()) {
      if (!one->isVisible()) continue;
      EXPECT_GE(one->width(), 280) << one->id() << " at " << shape.width << ", text " << shape.scale;
      EXPECT_GE(one->height(), 60) << one->id() << " at " << shape.width << ", text " << shape.scale;
    }
    for (QAbstractButton* button : work().findChildren<QAbstractButton*>()) {
      if (!button->isVisible()) continue;
      const QRect place(button->mapTo(window_.get(), QPoint(0, 0)), button->size());
      EXPECT_TRUE(window_->rect().contains(place)) << button->accessibleName().toStdString() << " at " << shape.width << ", text " << shape.scale;
    }
    inspection().unlock_all();
  }
  QSettings().remove("look/textScale");
  gui::Style::current().apply(gui::Light::Dark, 1);
}

TEST_F(InspectUseTest, AViewAloneHasTheWholeWindow) {
  gui::ViewWidget* heads = view("heads");
  heads->setFocus();
  const int before = heads->width();
  QTest::keyClick(heads, Qt::Key_F11);
  settle();
  EXPECT_GT(heads->width(), window_->width() - 20);
  QTest::keyClick(heads, Qt::Key_F11);
  settle();
  EXPECT_NEAR(heads->width(), before, 8);
}

class LiveTest : public WindowTest {
 protected:
  views::Inspection& inspection() { return window_->inspect_session().inspection(); }
};

TEST_F(LiveTest, EmptyInspectTurnsCaptureOnAndTheRunIsFollowedUntilItIsCancelled) {
  QTest::keyClick(window_.get(), Qt::Key_2, Qt::AltModifier);
  QPushButton* record = nullptr;
  for (QPushButton* button : window_->inspect()->findChildren<QPushButton*>()) {
    if (button->isVisible() && button->text().contains("Record the next run")) record = button;
  }
  ASSERT_NE(record, nullptr);
  record->click();
  EXPECT_EQ(session_->request().capture, CaptureOptions::Level::Summary);
  behaviour_->step_ms = 150;
  ASSERT_GT(session_->generate(), 0);
  QTest::keyClick(window_.get(), Qt::Key_2, Qt::AltModifier);
  ASSERT_TRUE(wait([&] { return !inspection().empty() && !inspection().run(0).steps.empty(); }));
  const std::size_t before = inspection().run(0).steps.size();
  ASSERT_TRUE(wait([&] { return inspection().run(0).steps.size() > before; })) << "grows while the run goes on";
  EXPECT_TRUE(session_->busy());
  for (const char* id : {"map", "heads", "outputs", "timeline"}) {
    window_->inspect()->show_view(id);
    QTest::qWait(60);
  }
  // Esc peels what is locked first, then it stops the run.
  gui::ViewWidget* heads = window_->inspect()->view("heads");
  heads->setFocus();
  QTest::keyClick(heads, Qt::Key_Escape);
  ASSERT_TRUE(wait_idle());
  ASSERT_TRUE(wait([&] { return inspection().run(0).record.state != "recording"; }));
  EXPECT_LT(inspection().run(0).steps.size(), static_cast<std::size_t>(inspection().run(0).record.steps));
  EXPECT_GE(inspection().run(0).steps.size(), before);
}

TEST_F(LiveTest, TheStatusLineSaysWhatTheCaptureHoldsWhileItGrows) {
  // Looked for each time: the widgets are made anew when the first run takes the place of the first page.
  const auto status = [&] {
    QString text;
    for (const QLabel* label : window_->findChildren<QLabel*>()) {
      if (label->accessibleName() == "Status") text = label->text();
    }
    return text;
  };
  session_->edit("", [](gui::PairRequest& pair) { pair.capture = CaptureOptions::Level::Summary; });
  behaviour_->step_ms = 60;
  const std::int64_t job = session_->generate();
  ASSERT_GT(job, 0);
  const QRegularExpression held(", capture (\\d+) kB,");
  const auto kilobytes = [&] {
    const QRegularExpressionMatch match = held.match(status());
    return match.hasMatch() ? match.captured(1).toLongLong() : -1;
  };
  ASSERT_TRUE(wait([&] { return kilobytes() > 0; })) << status().toStdString();
  const long long first = kilobytes();
  EXPECT_TRUE(wait([&] { return kilobytes() > first; })) << status().toStdString();
  const auto file = session_->capture_of(job);
  const auto on_disk = static_cast<long long>(std::filesystem::file_size(file) + std::filesystem::file_size(file.string() + "-wal")) / 1000;
  EXPECT_LE(kilobytes(), on_disk + 1) << "not more than there is";
  // The same in every workspace.
  QTest::keyClick(window_.get(), Qt::Key_2, Qt::AltModifier);
  EXPECT_GT(kilobytes(), 0) << status().toStdString();
  session_->stop();
  ASSERT_TRUE(wait_idle());
  EXPECT_TRUE(wait([&] { return kilobytes() == -1; })) << status().toStdString();
}

TEST_F(LiveTest, ARunWithoutCaptureSaysSo) {
  run_once();
  QTest::keyClick(window_.get(), Qt::Key_I, Qt::ControlModifier);
  ASSERT_FALSE(session_->messages().empty());
  EXPECT_TRUE(session_->messages().front().text.contains("not recorded"));
}

TEST_F(InspectUseTest, ASecondCaptureThatIsDroppedStandsBesideTheFirst) {
  const auto second = folder_.path() / "second.ditcap";
  std::filesystem::copy_file(std::filesystem::path(DITSCOPE_SOURCE_DIR) / "resources/captures/tour.ditcap", second);
  QMimeData data;
  data.setUrls({QUrl::fromLocalFile(QString::fromStdString(second.string()))});
  QDropEvent drop(QPointF(100, 100), Qt::CopyAction, &data, Qt::LeftButton, Qt::NoModifier);
  static_cast<QObject*>(window_.get())->event(&drop);
  settle();
  ASSERT_EQ(inspection().captures().size(), 2u);
  ASSERT_EQ(inspection().runs().size(), 4u);
  EXPECT_EQ(inspection().runs()[3].letter, 'D');
  EXPECT_EQ(work().findChildren<gui::RunChip*>().size(), 4);
  // D against A: the same run's twin, so the map's difference with B is nothing.
  gui::ViewWidget* map = view("map");
  views::InspectCursor at = inspection().cursor();
  at.run = 2;
  window_->inspect_session().set_cursor(at);
  map->view().set_control("show", "difference");
  settle(800);
  for (const views::DataArray& array : map->view().data(map->view_context())) {
    for (const double value : array.values) {
      if (array.name != "map" || !std::isfinite(value)) continue;
      ASSERT_EQ(value, 0) << "A and C are the same run";
    }
  }
  ASSERT_FALSE(session_->messages().empty());
  session_->messages().front().actions.at(0).run();
  EXPECT_EQ(inspection().captures().size(), 1u);
}

}  // namespace
}  // namespace ditscope::test
