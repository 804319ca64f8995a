// The Inspect workspace as a person uses it: real mouse and keyboard events on the recorded run.
#include <gtest/gtest.h>

#include <fstream>
#include <set>

#include "app/gui/inspect/cursor_bar.h"
#include "app/gui/inspect/export_dialog.h"
#include "app/gui/inspect/export_menu.h"
#include "app/gui/inspect/guided_tour.h"
#include "app/gui/inspect/inspect_workspace.h"
#include "app/gui/inspect/tensors_dialog.h"
#include "app/gui/panels/capture_dialog.h"
#include "app/gui/style/style.h"
#include "app/gui/widgets/basics.h"
#include "core/capture/capture_reader.h"
#include "core/media/media_reader.h"
#include "kernels/error.h"
#include "tests/views/window/window_fixture.h"

namespace ditscope::test {
namespace {

class InspectTest : public WindowTest {
 protected:
  void SetUp() override {
    WindowTest::SetUp();
    file_ = folder_.path() / "run.ditcap";
    std::filesystem::copy_file(std::filesystem::path(DITSCOPE_SOURCE_DIR) / "resources/captures/tour.ditcap", file_);
  }
  void open() {
    ASSERT_TRUE(window_->open_capture(file_));
    settle();
  }
  /// Until what was asked for has loaded and is painted.
  void settle(int ms = 150) { QTest::qWait(ms); }
  views::Inspection& inspection() { return window_->inspect_session().inspection(); }
  gui::InspectWorkspace& work() { return *window_->inspect(); }
  gui::ViewWidget* view(const char* id) {
    work().show_view(id);
    settle();
    return work().view(id);
  }
  /// A view with a key or pointer of its own may be missing from a build; the summary is always there.
  gui::ViewWidget* any_view() { return work().view("summary"); }
  void key(Qt::Key key, Qt::KeyboardModifiers modifiers = {}) {
    QWidget* focus = QApplication::focusWidget() ? QApplication::focusWidget() : window_.get();
    QTest::keyClick(focus, key, modifiers);
  }
  std::filesystem::path file_;
};

TEST_F(InspectTest, SaysWhatToDoWhereNoRunIsOpen) {
  QTest::keyClick(window_.get(), Qt::Key_2, Qt::AltModifier);
  bool found = false;
  for (const QPushButton* button : work().findChildren<QPushButton*>()) found = found || (button->isVisible() && button->text().contains("Open a capture"));
  EXPECT_TRUE(found);
}

TEST_F(InspectTest, OpensACaptureThatIsDroppedAndShowsItsRuns) {
  QMimeData data;
  data.setUrls({QUrl::fromLocalFile(QString::fromStdString(file_.string()))});
  QDropEvent drop(QPointF(100, 100), Qt::CopyAction, &data, Qt::LeftButton, Qt::NoModifier);
  // Not through QApplication, which delivers a drop only to where its own drag entered.
  static_cast<QObject*>(window_.get())->event(&drop);
  settle();
  ASSERT_EQ(inspection().runs().size(), 2u);
  const auto chips = work().findChildren<gui::RunChip*>();
  ASSERT_EQ(chips.size(), 2);
  EXPECT_TRUE(chips[1]->isChecked()) << "the sparse run is what one looks at";
  QTest::mouseClick(chips[0], Qt::LeftButton);
  EXPECT_EQ(inspection().cursor().run, 0);
}

/// The dialog that a dropped file of tensors brings up.
class TensorsTest : public InspectTest {
 protected:
  gui::TensorsDialog* drop() {
    const auto tensors = folder_.path() / "qkv.safetensors";
    std::ofstream(tensors) << "read by the fake engine";
    behaviour_->recorded = file_;
    session_->open_path(tensors);
    EXPECT_TRUE(wait([&] { return window_->findChild<gui::TensorsDialog*>() != nullptr; }));
    auto* dialog = window_->findChild<gui::TensorsDialog*>();
    // A number counts once its field loses the focus, and only an active window has any.
    if (dialog) {
      EXPECT_TRUE(wait([&] { return dialog->isActiveWindow(); }));
    }
    return dialog;
  }
  static void type(QWidget* dialog, const char* name, const QString& text) {
    for (auto* edit : dialog->findChildren<QLineEdit*>()) {
      if (edit->accessibleName() != name) continue;
      edit->setFocus();
      edit->selectAll();
      QTest::keyClicks(edit, text);
      QTest::keyClick(edit, Qt::Key_Tab);
      return;
    }
    FAIL() << "no field " << name;
  }
  static QPushButton* button(QWidget* dialog, const QString& text) {
    for (auto* button : dialog->findChildren<QPushButton*>())
      if (button->text() == text) return button;
    return nullptr;
  }
};

TEST_F(TensorsTest, AreRunAndInspectedOnceTheyAreSaidToLie) {
  gui::TensorsDialog* dialog = drop();
  ASSERT_TRUE(dialog);
  QPushButton* run = button(dialog, "Run and inspect");
  ASSERT_TRUE(run);
  type(dialog, "Columns", "8");
  EXPECT_FALSE(run->isEnabled()) << "8 tokens are not 197";
  type(dialog, "Frames", "3");
  type(dialog, "Rows", "8");
  type(dialog, "Text tokens", "5");
  type(dialog, "Parameters", "kept_ratio=0.25");
  ASSERT_TRUE(run->isEnabled());
  QTest::mouseClick(run, Qt::LeftButton);
  ASSERT_TRUE(wait([&] { return inspection().runs().size() == 2; }));
  EXPECT_TRUE(work().isVisible());
  const std::lock_guard lock(behaviour_->mutex);
  const AttendRequest& asked = behaviour_->attended;
  EXPECT_EQ(asked.frames, 3);
  EXPECT_EQ(asked.columns, 8);
  EXPECT_EQ(asked.text_tokens, 5);
  EXPECT_EQ(asked.conditional, (std::vector<bool>{false, true})) << "two in the batch are the two branches";
  EXPECT_EQ(to_string(asked.method), "re-ttention:kept_ratio=0.25");
}

TEST_F(TensorsTest, SayWhatIsWrongWithAParameterAndStayOpen) {
  gui::TensorsDialog* dialog = drop();
  ASSERT_TRUE(dialog);
  type(dialog, "Parameters", "kept_ratio=seven");
  QTest::mouseClick(button(dialog, "Run and inspect"), Qt::LeftButton);
  bool said = false;
  for (const QLabel* label : dialog->findChildren<QLabel*>()) said = said || label->text().contains("kept_ratio");
  EXPECT_TRUE(said);
  EXPECT_TRUE(dialog->isVisible());
}

TEST_F(TensorsTest, AreLeftAloneWhenStopped) {
  behaviour_->step_ms = 60;
  gui::TensorsDialog* dialog = drop();
  ASSERT_TRUE(dialog);
  QTest::mouseClick(button(dialog, "Run and inspect"), Qt::LeftButton);
  ASSERT_TRUE(wait([&] { return button(dialog, "Stop") != nullptr; }));
  QTest::mouseClick(button(dialog, "Stop"), Qt::LeftButton);
  ASSERT_TRUE(wait([&] { return button(dialog, "Cancel") != nullptr; }));
  EXPECT_TRUE(inspection().empty());
  QTest::mouseClick(button(dialog, "Cancel"), Qt::LeftButton);
  EXPECT_TRUE(wait([&] { return window_->findChild<gui::TensorsDialog*>() == nullptr; }));
}

TEST_F(InspectTest, SaysThatAFileOfTensorsIsNotThere) {
  session_->open_path(folder_.path() / "none.safetensors");
  ASSERT_TRUE(wait([&] { return !session_->messages().empty(); }));
  EXPECT_TRUE(session_->messages().front().text.contains("none.safetensors"));
}

TEST_F(InspectTest, LeavesTheOpenCaptureWhereAnotherCannotBeRead) {
  open();
  const auto bad = folder_.path() / "bad.ditcap";
  std::ofstream(bad) << "no capture";
  EXPECT_FALSE(window_->open_capture(bad));
  EXPECT_EQ(inspection().runs().size(), 2u);
  ASSERT_FALSE(session_->messages().empty());
  EXPECT_EQ(session_->messages().front().kind, gui::Message::Kind::Error);
}

/// A capture whose model is not where it lay.
class MissingModelTest : public InspectTest {
 protected:
  void SetUp() override {
    InspectTest::SetUp();
    fingerprint_ = CaptureReader(file_).run(1).model.fingerprint;
    right_ = folder_.path() / "right", wrong_ = folder_.path() / "wrong";
    std::filesystem::create_directory(right_);
    std::filesystem::create_directory(wrong_);
    const std::lock_guard lock(behaviour_->mutex);
    behaviour_->folders = {{right_, fingerprint_}, {wrong_, "another"}};
    behaviour_->replays = true;
  }
  QPushButton* locate() const {
    for (QPushButton* button : window_->findChildren<QPushButton*>()) {
      if (button->text() == "Locate model…" && button->isVisible()) return button;
    }
    return nullptr;
  }
  /// Presses [Locate model…] and names a folder in the dialog, as one types it.
  void point_at(const std::filesystem::path& folder) {
    ASSERT_TRUE(wait([&] { return locate() != nullptr; }));
    bool typed = false;
    QTimer timer;
    QObject::connect(&timer, &QTimer::timeout, [&] {
      auto* dialog = qobject_cast<QFileDialog*>(QApplication::activeModalWidget());
      auto* edit = dialog ? dialog->findChild<QLineEdit*>("fileNameEdit") : nullptr;
      if (!edit || typed) return;
      typed = true;
      EXPECT_TRUE(dialog->windowTitle().contains("solids-256")) << dialog->windowTitle().toStdString();
      edit->setText(QString::fromStdString(folder.string()));
      QTest::keyClick(edit, Qt::Key_Return);
    });
    timer.start(20);
    QTest::mouseClick(locate(), Qt::LeftButton);
    EXPECT_TRUE(typed);
  }
  bool says(const QString& part) const {
    for (const gui::Message& message : session_->messages()) {
      if (message.text.contains(part)) return true;
    }
    return false;
  }
  std::string exact_problem(const char* id) {
    for (const views::Control& control : view(id)->view().controls(view(id)->view_context())) {
      if (control.name == "exact") return control.problem;
    }
    return "no such control";
  }
  std::string fingerprint_;
  std::filesystem::path right_, wrong_;
};

TEST_F(MissingModelTest, ReplayIsGreyUntilTheFolderWithTheRightHashIsNamed) {
  open();
  ASSERT_TRUE(wait([&] { return says("Replay is off"); }));
  inspection().set_locked({40});
  view("rows");
  ASSERT_TRUE(wait([&] { return !exact_problem("rows").empty(); }));
  auto* exact = view("rows")->parentWidget()->findChild<QPushButton*>("control-exact");
  ASSERT_NE(exact, nullptr);
  ASSERT_TRUE(wait([&] { return !exact->isEnabled(); }));
  EXPECT_TRUE(exact->toolTip().contains("Replay is off")) << exact->toolTip().toStdString();

  point_at(wrong_);
  ASSERT_TRUE(wait([&] { return says("is another one"); }));
  EXPECT_TRUE(wait([&] { return locate() != nullptr; })) << "and one can try again";
  EXPECT_FALSE(exact->isEnabled());

  point_at(right_);
  ASSERT_TRUE(wait([&] { return says("is the model of this capture"); }));
  EXPECT_FALSE(says("Replay is off: no folder"));
  EXPECT_EQ(locate(), nullptr);
  ASSERT_TRUE(wait([&] { return exact_problem("rows").empty(); }));
  EXPECT_TRUE(wait([&] { return exact->isEnabled(); }));
  const auto row = [&] { return inspection().exact_row(inspection().cursor(), 40); };
  EXPECT_TRUE(wait([&] { return static_cast<bool>(row()); })) << row().problem;
}

TEST_F(MissingModelTest, AFolderThatWasNamedIsKnownTheNextTime) {
  open();
  ASSERT_TRUE(wait([&] { return says("Replay is off"); }));
  point_at(right_);
  ASSERT_TRUE(wait([&] { return says("is the model of this capture"); }));
  restart();
  open();
  settle(400);
  EXPECT_FALSE(says("Replay is off"));
  EXPECT_TRUE(window_->inspect_session().missing_models().empty());
  EXPECT_TRUE(wait([&] { return static_cast<bool>(inspection().exact_row(inspection().cursor(), 40)); }));
}

TEST_F(MissingModelTest, ClosingTheCaptureTakesTheMessageAway) {
  open();
  ASSERT_TRUE(wait([&] { return says("Replay is off"); }));
  window_->inspect_session().close();
  EXPECT_FALSE(says("Replay is off"));
  EXPECT_EQ(locate(), nullptr);
}

TEST_F(InspectTest, MovesTheCursorByKeys) {
  open();
  any_view()->setFocus();
  const views::InspectCursor before = inspection().cursor();
  key(Qt::Key_BracketRight);
  EXPECT_EQ(inspection().cursor().step, before.step + 1);
  key(Qt::Key_BracketLeft);
  EXPECT_EQ(inspection().cursor().step, before.step);
  key(Qt::Key_Down);
  EXPECT_EQ(inspection().cursor().layer, before.layer + 1);
  key(Qt::Key_Up);
  key(Qt::Key_Up);
  EXPECT_EQ(inspection().cursor().layer, 0) << "not beyond the first";
  key(Qt::Key_Right);
  EXPECT_EQ(inspection().cursor().head, before.head + 1);
  key(Qt::Key_Left);
  EXPECT_EQ(inspection().cursor().head, before.head);
}

TEST_F(InspectTest, TakesATypedStepAndClampsIt) {
  open();
  auto* edit = work().findChild<QLineEdit*>("stepper-step");
  ASSERT_NE(edit, nullptr);
  edit->setFocus();
  edit->selectAll();
  QTest::keyClicks(edit, "99");
  QTest::keyClick(edit, Qt::Key_Return);
  EXPECT_EQ(inspection().cursor().step, inspection().run(0).record.steps - 1);
  // Keys of the cursor are letters here.
  const int layer = inspection().cursor().layer;
  QTest::keyClick(edit, Qt::Key_Down);
  EXPECT_EQ(inspection().cursor().layer, layer);
}

TEST_F(InspectTest, KeepsTheCursorOfALockedTab) {
  open();
  gui::ViewWidget* locked = any_view();
  locked->setFocus();
  const int step = inspection().cursor().step;
  key(Qt::Key_L);
  EXPECT_TRUE(window_->inspect_session().locked("summary"));
  key(Qt::Key_BracketRight);
  EXPECT_EQ(inspection().cursor().step, step + 1);
  EXPECT_EQ(locked->view_context().cursor.step, step);
  key(Qt::Key_L);
  EXPECT_EQ(locked->view_context().cursor.step, step + 1);
}

TEST_F(InspectTest, PeelsALockWithEscapeBeforeAnythingElse) {
  open();
  inspection().set_locked({40});
  settle();
  auto* chip = work().findChild<QPushButton*>("tokenChip");
  ASSERT_NE(chip, nullptr);
  EXPECT_TRUE(chip->isVisible());
  EXPECT_TRUE(chip->text().contains("Token"));
  any_view()->setFocus();
  key(Qt::Key_Escape);
  EXPECT_TRUE(inspection().locked().empty());
  settle();
  EXPECT_FALSE(chip->isVisible());
}

TEST_F(InspectTest, LocksTheTokenThatIsClickedInTheMapAndInTheOutputs) {
  open();
  for (const char* id : {"map", "outputs"}) {
    gui::ViewWidget* target = view(id);
    if (!target) GTEST_SKIP() << "this build has no view " << id;
    inspection().unlock_all();
    settle();
    bool locked = false;
    // Somewhere near its middle there are data.
    for (const double part : {0.5, 0.35, 0.65, 0.25}) {
      const QPoint at(static_cast<int>(target->width() * part), static_cast<int>(target->height() * part));
      QTest::mouseMove(target, at);
      settle(60);
      QTest::mouseClick(target, Qt::LeftButton, {}, at);
      settle(60);
      if ((locked = !inspection().locked().empty())) break;
    }
    EXPECT_TRUE(locked) << id;
  }
}

TEST_F(InspectTest, PreviewsTheTokenUnderTheMouseAndForgetsItOutside) {
  open();
  gui::ViewWidget* map = view("map");
  if (!map) GTEST_SKIP() << "this build has no map";
  QTest::mouseMove(map, QPoint(map->width() / 2, map->height() / 2));
  settle();
  EXPECT_GE(inspection().hover().query, 0);
  QEvent leave(QEvent::Leave);
  QApplication::sendEvent(map, &leave);
  EXPECT_LT(inspection().hover().query, 0);
}

TEST_F(InspectTest, MakesWidgetsOfControlsThatChangeTheView) {
  open();
  for (gui::ViewWidget* one : work().views()) {
    const auto controls = one->view().controls(one->view_context());
    for (const views::Control& control : controls) {
      if (control.kind != views::Control::Kind::Switch) continue;
      work().show_view(one->id());
      settle(60);
      auto* button = one->parentWidget()->findChild<QPushButton*>("control-" + QString::fromStdString(control.name));
      ASSERT_NE(button, nullptr) << one->id() << " " << control.name;
      if (!button->isEnabled()) {
        EXPECT_EQ(control.name, "exact") << one->id() << ": there is no model in this test";
        continue;
      }
      button->click();
      for (const views::Control& now : one->view().controls(one->view_context())) {
        if (now.name == control.name) {
          EXPECT_NE(now.value, control.value) << one->id() << " " << control.name;
        }
      }
      button->click();
    }
  }
}

TEST_F(InspectTest, GoesToABookmarkAndBack) {
  open();
  window_->inspect_session().set_cursor({1, 3, 2, 1, 1});
  inspection().set_locked({40, 41});
  key(Qt::Key_D, Qt::ControlModifier);
  ASSERT_EQ(CaptureReader(file_).bookmarks(2).size(), 1u);
  window_->inspect_session().set_cursor({0, 0, 0, 0, 0});
  inspection().unlock_all();
  any_view()->setFocus();
  key(Qt::Key_1, Qt::ControlModifier);
  EXPECT_EQ(inspection().cursor(), (views::InspectCursor{1, 3, 2, 1, 1}));
  EXPECT_EQ(inspection().locked(), (std::vector<std::int64_t>{40, 41}));
}

TEST_F(InspectTest, ExportsAPictureOfTheViewOnScreen) {
  open();
  gui::ViewWidget* summary = view("summary");
  const auto png = folder_.path() / "summary.png";
  gui::export_from(window_->inspect_session(), *summary, png);
  const QImage image(QString::fromStdString(png.string()));
  EXPECT_EQ(image.size(), summary->size() * 2);
  EXPECT_THROW(gui::export_from(window_->inspect_session(), *summary, folder_.path() / "a.xyz"), Error);
}

/// The dialog for sizes, resolutions and videos.
class ExportTest : public InspectTest {
 protected:
  gui::ExportDialog* show(const char* id, const QString& kind) {
    auto* dialog = new gui::ExportDialog(window_->inspect_session(), *view(id), window_.get());
    dialog->open();
    EXPECT_TRUE(wait([&] { return dialog->isActiveWindow(); }));
    dialog->set_kind(kind);
    return dialog;
  }
  static void type(QWidget* dialog, const char* name, const QString& text) {
    for (auto* edit : dialog->findChildren<QLineEdit*>()) {
      if (edit->accessibleName() != name) continue;
      edit->setFocus();
      edit->selectAll();
      QTest::keyClicks(edit, text);
      QTest::keyClick(edit, Qt::Key_Tab);
      return;
    }
    FAIL() << "no field " << name;
  }
  static QString note(QWidget* dialog) {
    QString all;
    for (const QLabel* label : dialog->findChildren<QLabel*>()) all += label->text() + "\n";
    return all;
  }
  bool write(gui::ExportDialog* dialog, const std::filesystem::path& file) {
    bool written = false;
    QObject::connect(dialog, &gui::ExportDialog::written, window_.get(), [&] { written = true; });
    dialog->export_to(file);
    return wait([&] { return written; });
  }
};

TEST_F(ExportTest, WritesAPictureOfTheSizeAndResolutionThatIsAskedFor) {
  open();
  gui::ExportDialog* dialog = show("mask", "PNG");
  type(dialog, "Width", "300");
  type(dialog, "Height", "240");
  type(dialog, "Resolution", "288");
  EXPECT_TRUE(note(dialog).contains("900 × 720 pixels")) << note(dialog).toStdString();
  const auto png = folder_.path() / "mask.png";
  ASSERT_TRUE(write(dialog, png));
  const QImage image(QString::fromStdString(png.string()));
  EXPECT_EQ(image.size(), QSize(900, 720));
  EXPECT_NEAR(image.dotsPerMeterX(), 288 / 0.0254, 1);
  for (const char* kind : {"SVG", "PDF", "CSV", "NPZ", "safetensors"}) {
    const auto file = folder_.path() / (std::string("mask.") + QString(kind).toLower().toStdString());
    ASSERT_TRUE(write(show("mask", kind), file)) << kind;
    EXPECT_GT(std::filesystem::file_size(file), 500u) << kind;
  }
}

TEST_F(ExportTest, WritesAVideoWithAPictureOfEveryStep) {
  open();
  for (const char* kind : {"GIF", "MP4"}) {
    gui::ExportDialog* dialog = show("map", kind);
    type(dialog, "Width", "240");
    type(dialog, "Height", "200");
    type(dialog, "Resolution", "96");
    const auto file = folder_.path() / (std::string("map.") + QString(kind).toLower().toStdString());
    ASSERT_TRUE(write(dialog, file)) << kind;
    const Media media = read_media(file);
    ASSERT_EQ(media.frames.count, inspection().run(1).record.steps) << kind;
    EXPECT_EQ(media.frames.width, 240);
    EXPECT_EQ(media.frames.height, 200);
    // Every picture has its data: none is the empty plot that stands there while they load.
    for (int i = 0; i < media.frames.count; ++i) {
      std::set<int> shades;
      const float* frame = media.frames.rgb.data() + static_cast<std::size_t>(i) * media.frames.frame_size();
      for (std::size_t p = 0; p < media.frames.frame_size(); p += 3) shades.insert(static_cast<int>(frame[p] * 15) * 16 + static_cast<int>(frame[p + 2] * 15));
      EXPECT_GT(shades.size(), 15u) << kind << " " << i;
    }
  }
}

TEST_F(ExportTest, SaysWhatCannotBeWrittenAndStaysOpen) {
  open();
  gui::ExportDialog* dialog = show("qk", "CSV");
  dialog->export_to(folder_.path() / "qk.csv");
  EXPECT_TRUE(note(dialog).contains("No token is locked")) << note(dialog).toStdString();
  dialog->set_kind("MP4");
  dialog->export_to(folder_.path() / "qk.png");
  EXPECT_TRUE(note(dialog).contains("A sweep is a video")) << note(dialog).toStdString();
  EXPECT_TRUE(dialog->isVisible());
  // Cancel ends a video that goes on, then the dialog.
  dialog->export_to(folder_.path() / "qk.gif");
  QTest::keyClick(dialog, Qt::Key_Escape);
  EXPECT_TRUE(note(dialog).contains("nothing was written")) << note(dialog).toStdString();
  EXPECT_FALSE(std::filesystem::exists(folder_.path() / "qk.gif"));
  QTest::keyClick(dialog, Qt::Key_Escape);
  EXPECT_TRUE(wait([&] { return window_->findChild<gui::ExportDialog*>() == nullptr; }));
}

TEST_F(InspectTest, KeepsCaptureAndCursorWhenTheLookChanges) {
  open();
  window_->inspect_session().set_cursor({1, 4, 3, 2, 1});
  QSettings().setValue("look/textScale", 1.3);
  window_->apply_look();
  settle();
  EXPECT_EQ(inspection().cursor(), (views::InspectCursor{1, 4, 3, 2, 1}));
  EXPECT_EQ(work().findChildren<gui::RunChip*>().size(), 2);
  gui::Style::current().apply(gui::Light::Dark, 1);
}

TEST_F(InspectTest, PlacesEveryViewInEveryWidthClass) {
  for (const int width : {1280, 1600, 2300}) {
    window_->resize(width, 900);
    settle();
    for (const std::string& id : views::inspect_view_ids()) EXPECT_NE(work().view(id), nullptr) << id << " at " << width;
  }
}

TEST_F(InspectTest, TellsScreenReadersWhatIsLocked) {
  open();
  for (gui::ViewWidget* one : work().views()) {
    EXPECT_FALSE(one->accessibleName().isEmpty());
    EXPECT_FALSE(one->view().spoken(one->view_context()).empty()) << one->id();
  }
}

TEST_F(InspectTest, TakesAFirstTimeUserRound) {
  EXPECT_LE(std::filesystem::file_size(file_), std::uintmax_t{2} << 20) << "it comes with the program";
  window_->open_recorded_run();
  settle();
  auto* tour = window_->findChild<gui::GuidedTour*>();
  ASSERT_NE(tour, nullptr);
  EXPECT_EQ(tour->stop(), 0);
  const int stops = tour->stops();
  for (int i = 1; i < stops; ++i) {
    QTest::keyClick(QApplication::focusWidget(), Qt::Key_Space);
    ASSERT_TRUE(wait([&] { return tour->stop() == i; })) << i;
    EXPECT_TRUE(window_->inspect_session().settled()) << "the data of stop " << i << " are there";
    EXPECT_TRUE(window_->rect().contains(tour->geometry())) << i;
  }
  QTest::keyClick(QApplication::focusWidget(), Qt::Key_Escape);
  EXPECT_TRUE(wait([&] { return window_->findChild<gui::GuidedTour*>() == nullptr; }));
}

TEST_F(InspectTest, LayersStepsShadowPassesAndABudgetAreChosenWhereTheSizeStands) {
  session_->edit("", [](gui::PairRequest& pair) { pair.capture = CaptureOptions::Level::Summary; });
  window_->set_page(gui::MainWindow::Page::Generate);
  ASSERT_TRUE(wait([&] { return session_->capture_bytes() > 0; }));
  const std::int64_t before = session_->capture_bytes();
  const auto open_dialog = [&]() -> gui::CaptureDialog* {
    auto* note = window_->findChild<QLabel*>("captureNote");
    if (!note || !wait([&] { return note->text().contains("at most") && note->isVisible(); })) return nullptr;
    QTest::mouseClick(note, Qt::LeftButton, {}, QPoint(8, note->height() / 2));
    wait([&] { return window_->findChild<gui::CaptureDialog*>() != nullptr && window_->findChild<gui::CaptureDialog*>()->isActiveWindow(); });
    return window_->findChild<gui::CaptureDialog*>();
  };
  const auto type = [](QWidget* dialog, const char* name, const QString& text) {
    for (auto* edit : dialog->findChildren<QLineEdit*>()) {
      if (edit->accessibleName() != name) continue;
      edit->setFocus();
      edit->selectAll();
      QTest::keyClicks(edit, text);
    }
  };
  const auto keep = [](QWidget* dialog) {
    for (auto* button : dialog->findChildren<QPushButton*>()) {
      if (button->text() == "Keep this") QTest::mouseClick(button, Qt::LeftButton);
    }
  };
  gui::CaptureDialog* dialog = open_dialog();
  ASSERT_TRUE(dialog);
  type(dialog, "Layers kept whole", "0,3-2");
  keep(dialog);
  bool said = false;
  for (const QLabel* label : dialog->findChildren<QLabel*>()) said = said || (label->isVisible() && label->text().contains("3-2"));
  EXPECT_TRUE(said) << "what is wrong";
  EXPECT_TRUE(dialog->isVisible());
  type(dialog, "Layers kept whole", "5");
  type(dialog, "Shadow passes at", "2,4");
  type(dialog, "Never more than", "50 MB");
  keep(dialog);
  ASSERT_TRUE(wait([&] { return window_->findChild<gui::CaptureDialog*>() == nullptr; }));
  const CaptureOptions options = session_->request().capture_options();
  EXPECT_TRUE(options.chosen(7, 5)) << "a layer alone means all steps";
  EXPECT_FALSE(options.chosen(7, 4));
  EXPECT_TRUE(options.shadow.contains(4) && !options.shadow.contains(3));
  EXPECT_EQ(options.budget_bytes, 50'000'000);
  EXPECT_TRUE(wait([&] { return session_->capture_bytes() > before; })) << "the size follows";
  const std::int64_t job = session_->generate();
  ASSERT_GT(job, 0);
  ASSERT_TRUE(wait([&] { return !session_->busy() && std::filesystem::exists(session_->capture_of(job)); }));
  const CaptureMeta meta = CaptureReader(session_->capture_of(job)).meta();
  EXPECT_EQ(meta.values.at("budget_bytes"), "50000000") << "and the run's capture is made so";
}

TEST_F(InspectTest, ShowsTheBytesThatACaptureWillTake) {
  const auto note = [&] { return session_->capture_bytes(); };
  EXPECT_EQ(note(), 0);
  session_->edit("", [](gui::PairRequest& pair) { pair.capture = CaptureOptions::Level::Summary; });
  ASSERT_TRUE(wait([&] { return note() > 0; }));
  const std::int64_t summary = note();
  session_->edit("", [](gui::PairRequest& pair) { pair.capture = CaptureOptions::Level::Full; });
  EXPECT_TRUE(wait([&] { return note() > summary; }));
}

}  // namespace
}  // namespace ditscope::test
