#include "app/gui/compare/time_plot.h"
#include "app/gui/panels/parameter_row.h"
#include "app/gui/style/style.h"
#include "app/gui/widgets/number_field.h"
#include "app/gui/widgets/value_slider.h"
#include "tests/views/window/window_fixture.h"

namespace ditscope::test {
namespace {

TEST_F(WindowTest, KeptAndSkippedAreTheSameNumberReadTwoWaysAndBothCanBeTyped) {
  Parameter parameter;
  for (const Parameter& candidate : find_method("re-ttention").parameters) {
    if (candidate.key == "kept_ratio") parameter = candidate;
  }
  gui::ParameterRow row(parameter);
  row.show_value(parameter.default_value, parameter.default_value);
  const auto fields = row.findChildren<gui::InlineNumber*>();
  ASSERT_EQ(fields.size(), 2);
  EXPECT_EQ(fields[0]->text(), "kept 3.1 %");
  EXPECT_EQ(fields[1]->text(), "skipped 96.9 %");
  double heard = -1;
  QObject::connect(&row, &gui::ParameterRow::changed, [&](const ParameterValue& value) { heard = gui::number_of(value); });
  row.show();
  fields[1]->setFocus();
  fields[1]->selectAll();
  QTest::keyClicks(fields[1], "80");
  QTest::keyClick(fields[1], Qt::Key_Return);
  EXPECT_NEAR(heard, 0.2, 1e-9);
}

TEST_F(WindowTest, EveryParameterOfEveryMethodHasAControlOfItsKind) {
  for (const MethodEntry& method : methods()) {
    for (const Parameter& parameter : method.parameters) {
      gui::ParameterRow row(parameter);
      row.show_value(parameter.default_value, parameter.default_value);
      EXPECT_EQ(row.accessibleName().toStdString(), parameter.label);
      const bool number = parameter.kind == ParameterKind::Ratio || parameter.kind == ParameterKind::Integer ||
                          parameter.kind == ParameterKind::Real;
      EXPECT_EQ(row.findChildren<gui::ValueSlider*>().size(), number ? 1 : 0) << parameter.key;
      EXPECT_EQ(row.findChildren<gui::InlineNumber*>().size(), parameter.kind == ParameterKind::Ratio ? 2 : 0) << parameter.key;
    }
  }
}

TEST_F(WindowTest, OneGestureIsOneUndo) {
  const int steps = session_->request().base.steps;
  for (int i = 1; i <= 20; ++i) session_->edit("steps", [&](gui::PairRequest& pair) { pair.base.steps = i; });
  session_->end_gesture();
  session_->edit("steps", [&](gui::PairRequest& pair) { pair.base.steps = 50; });
  session_->undo();
  EXPECT_EQ(session_->request().base.steps, 20);
  session_->undo();
  EXPECT_EQ(session_->request().base.steps, steps);
  session_->redo();
  EXPECT_EQ(session_->request().base.steps, 20);
}

TEST_F(WindowTest, KeysOfTheViewChooseModesButNotWhileTextIsEdited) {
  run_once();
  view()->setFocus();
  QTest::keyClick(view(), Qt::Key_5);
  EXPECT_EQ(view()->state().mode, views::CompareMode::Difference);
  QTest::keyClick(view(), Qt::Key_3);
  EXPECT_EQ(view()->state().mode, views::CompareMode::Wipe);
  QTest::keyClick(view(), Qt::Key_3);
  EXPECT_TRUE(view()->state().wipe_horizontal);
  QTest::keyClick(view(), Qt::Key_0);
  EXPECT_EQ(view()->state().difference, views::DifferenceMode::Root);
  QTest::keyClick(view(), Qt::Key_S);
  EXPECT_TRUE(view()->state().swapped);
  const int frame = view()->playback().frame();
  QTest::keyClick(view(), Qt::Key_Period);
  EXPECT_EQ(view()->playback().frame(), (frame + 1) % view()->playback().frames);
  EXPECT_FALSE(view()->playback().playing);
  QTest::keyClick(view(), Qt::Key_Space);
  EXPECT_TRUE(view()->playback().playing);
  QPlainTextEdit* prompt = window_->request()->prompt();
  prompt->setFocus();
  prompt->clear();
  QTest::keyClicks(prompt, "1 s,");
  EXPECT_EQ(prompt->toPlainText(), "1 s,");
  EXPECT_EQ(view()->state().mode, views::CompareMode::Wipe);
}

TEST_F(WindowTest, TheWheelZoomsAboutTheCursorAndFFitsAgain) {
  run_once();
  const double fitted = view()->zoom();
  const auto wheel = [&](Qt::KeyboardModifiers modifiers) {
    const QPointF at(60, 60);
    QWheelEvent event(at, view()->mapToGlobal(at), QPoint(), QPoint(0, 120), Qt::NoButton, modifiers, Qt::NoScrollPhase, false);
    QApplication::sendEvent(view(), &event);
  };
  wheel(Qt::NoModifier);
  EXPECT_NEAR(view()->zoom() / fitted, std::exp2(1.0 / 8), 1e-6);
  wheel(Qt::ControlModifier);
  EXPECT_NEAR(view()->zoom() / fitted, std::exp2(9.0 / 8), 1e-6);
  view()->setFocus();
  QTest::keyClick(view(), Qt::Key_F);
  EXPECT_NEAR(view()->zoom(), fitted, 1e-9);
}

TEST_F(WindowTest, TheViewDrawsAOnTheLeftOfTheWipeAndBOnTheRight) {
  run_once();
  views::CompareState state = view()->state();
  state.mode = views::CompareMode::Wipe;
  state.wipe = 0.5;
  view()->set_state(state);
  view()->set_playback(views::seek(views::step_frames(view()->playback(), 0), 2));
  QTest::qWait(100);
  ASSERT_TRUE(view()->gl_problem().isEmpty()) << view()->gl_problem().toStdString();
  const QImage image = view()->grab().toImage();
  const Frames& a = session_->shown()->runs[0]->result->frames;
  const Frames& b = session_->shown()->runs[1]->result->frames;
  // Two pixels of the clip, one on each side, where A and B differ by more than rounding.
  const double scale = image.height() / static_cast<double>(a.height);
  const double left = (image.width() - a.width * scale) / 2;
  int checked_left = 0, checked_right = 0;
  for (int y = 20; y < 44; ++y) {
    for (int x = 4; x < 60; ++x) {
      const std::size_t at = 3 * (static_cast<std::size_t>(y) * a.width + x);
      if (std::fabs(a.frame(2)[at] - b.frame(2)[at]) < 0.03f || std::abs(x - 32) < 5) continue;
      const QColor shown = image.pixelColor(static_cast<int>(left + (x + 0.5) * scale), static_cast<int>((y + 0.5) * scale));
      const Frames& expected = x < 32 ? a : b;
      EXPECT_NEAR(shown.redF(), expected.frame(2)[at], 0.01) << x << " " << y;
      ++(x < 32 ? checked_left : checked_right);
    }
  }
  EXPECT_GT(checked_left, 20);
  EXPECT_GT(checked_right, 20);
}

TEST_F(WindowTest, PixelValuesAppearFromFiftyPixelsAPixel) {
  run_once();
  views::CompareState state = view()->state();
  state.mode = views::CompareMode::A;
  view()->set_state(state);
  view()->set_playback(views::seek(views::step_frames(view()->playback(), 0), 0));
  // Distinct colours in the middle of the view, away from the tags.
  const auto colours = [&] {
    QTest::qWait(60);
    const QImage image = view()->grab().toImage();
    QSet<QRgb> seen;
    for (int y = image.height() / 2; y < image.height() / 2 + 100; ++y) {
      for (int x = image.width() / 2; x < image.width() / 2 + 100; ++x) seen.insert(image.pixel(x, y));
    }
    return seen.size();
  };
  const auto zoom_to = [&](double wanted) {
    while (view()->zoom() < wanted) {
      const QPointF at(view()->width() / 2.0, view()->height() / 2.0);
      QWheelEvent event(at, view()->mapToGlobal(at), QPoint(), QPoint(0, 120), Qt::NoButton, Qt::NoModifier, Qt::NoScrollPhase,
                        false);
      QApplication::sendEvent(view(), &event);
    }
  };
  zoom_to(44);
  ASSERT_LT(view()->zoom(), 50);
  const auto squares = colours();
  zoom_to(56);
  EXPECT_LE(squares, 25) << "at most four by four squares of flat colour, and their neighbours";
  EXPECT_GT(colours(), 3 * squares) << "digits bring their antialiased edges";
}

TEST_F(WindowTest, DifferenceOverTimeSharesTheFrameWithTheView) {
  run_once();
  window_->compare()->set_tab(1);
  auto* plot = window_->findChild<gui::TimePlot*>();
  ASSERT_NE(plot, nullptr);
  EXPECT_TRUE(wait([&] { return plot->isVisible(); }, 1000));
  plot->setFocus();
  const int frame = view()->playback().frame();
  QTest::keyClick(plot, frame == 0 ? Qt::Key_Right : Qt::Key_Left);
  EXPECT_EQ(view()->playback().frame(), frame == 0 ? 1 : frame - 1);
  window_->compare()->set_tab(0);
  EXPECT_TRUE(view()->isVisible());
}

TEST_F(WindowTest, ThePaletteFindsACommandByPartOfItsNameAndDoesIt) {
  run_once();
  ASSERT_FALSE(view()->state().swapped);
  QTimer::singleShot(200, [] {
    QWidget* palette = QApplication::activeModalWidget();
    ASSERT_NE(palette, nullptr);
    auto* field = palette->findChild<QLineEdit*>();
    QTest::keyClicks(field, "swap");
    QTest::keyClick(field, Qt::Key_Return);
  });
  QTest::keyClick(window_.get(), Qt::Key_P, Qt::ControlModifier | Qt::ShiftModifier);
  EXPECT_TRUE(view()->state().swapped);
}

TEST_F(WindowTest, AQuestionMarkShowsEveryKey) {
  run_once();
  view()->setFocus();
  QStringList words;
  QTimer::singleShot(200, [&] {
    QWidget* sheet = QApplication::activeModalWidget();
    ASSERT_NE(sheet, nullptr);
    for (const QLabel* label : sheet->findChildren<QLabel*>()) words << label->text();
    sheet->close();
  });
  QTest::keyClick(view(), Qt::Key_Question, Qt::ShiftModifier);
  for (const char* key :
       {"Ctrl+Enter", "Space", ",", ".", "1", "5", "hold Shift", "S", "0", "F", "Ctrl+0", "Esc", "Ctrl+.", "Alt+1", "Ctrl+Z"}) {
    EXPECT_TRUE(words.contains(key)) << key;
  }
}

TEST_F(WindowTest, F11LeavesTheViewAloneAndEscapeBringsTheRestBack) {
  run_once();
  QTest::keyClick(window_.get(), Qt::Key_F11);
  EXPECT_FALSE(window_->request()->isVisible());
  EXPECT_TRUE(wait([&] { return view()->width() > window_->width() - 40; }, 2000)) << view()->width();
  QTest::keyClick(view(), Qt::Key_Escape);
  EXPECT_TRUE(window_->request()->isVisible());
  QTest::keyClick(window_.get(), Qt::Key_B, Qt::ControlModifier);
  EXPECT_FALSE(window_->request()->isVisible());
  QTest::keyClick(window_.get(), Qt::Key_B, Qt::ControlModifier);
  EXPECT_TRUE(window_->request()->isVisible());
}

TEST_F(WindowTest, LightAndTextScaleChangeAtOnceAndNothingIsLost) {
  run_once();
  const auto shown = session_->shown();
  QSettings().setValue("look/light", 2);
  QSettings().setValue("look/textScale", 1.5);
  window_->apply_look();
  QTest::qWait(100);
  EXPECT_EQ(session_->shown(), shown);
  EXPECT_TRUE(view()->has_clip());
  EXPECT_FALSE(gui::Style::current().theme().dark);
  EXPECT_EQ(gui::Style::current().px(12), 18);
  QSettings().clear();
  gui::Style::current().apply(gui::Light::Dark, 1);
}

TEST_F(WindowTest, EveryControlThatTakesKeysHasAName) {
  run_once();
  for (const QWidget* widget : window_->findChildren<QWidget*>()) {
    if (widget->focusPolicy() == Qt::NoFocus || !widget->isVisible()) continue;
    if (qobject_cast<const QScrollArea*>(widget) || widget->objectName().startsWith("qt_") ||
        qobject_cast<const QMenuBar*>(widget))
      continue;
    const auto* button = qobject_cast<const QAbstractButton*>(widget);
    const bool named = !widget->accessibleName().isEmpty() || (button && !button->text().isEmpty());
    EXPECT_TRUE(named) << widget->metaObject()->className() << " " << widget->objectName().toStdString();
  }
}

TEST_F(WindowTest, APromptInAMissingModelFolderIsExplained) {
  behaviour_->no_model = true;
  session_->open_model("/nowhere");
  ASSERT_TRUE(wait([&] { return !session_->messages().empty(); }));
  EXPECT_TRUE(session_->messages().front().text.contains("No model_index.json in /nowhere"));
}

}  // namespace
}  // namespace ditscope::test
