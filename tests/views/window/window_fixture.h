#pragma once
#include <gtest/gtest.h>

#include <stdexcept>

#include <QtTest/QtTest>
#include <QtWidgets/QtWidgets>

#include "app/gui/compare/compare_panel.h"
#include "app/gui/compare/compare_view.h"
#include "app/gui/docks/history_dock.h"
#include "app/gui/main_window.h"
#include "app/gui/panels/request_panel.h"
#include "tests/support/temporary_folder.h"
#include "tests/views/support/fake_engine.h"

namespace ditscope::test {

/// A window on a fresh data folder, shown and with its model known.
class WindowTest : public ::testing::Test {
 protected:
  void SetUp() override {
    QSettings().clear();
    behaviour_ = std::make_shared<FakeBehaviour>();
    start();
  }
  void TearDown() override { close(); }

  void start() {
    session_ = std::make_unique<gui::Session>(fake_engine(behaviour_), folder_.path() / "data");
    session_->open_model({});
    window_ = std::make_unique<gui::MainWindow>(*session_);
    window_->resize(1600, 1000);
    window_->show();
    ASSERT_TRUE(QTest::qWaitForWindowExposed(window_.get()));
    // Xvfb has no window manager to do this; shortcuts need an active window.
    QApplication::setActiveWindow(window_.get());
    ASSERT_TRUE(QTest::qWaitFor([&] { return session_->model().has_value() && !session_->bytes().empty(); }, 5000));
  }
  void close() {
    window_.reset();
    session_.reset();
  }
  void restart() {
    close();
    start();
  }
  bool wait(std::function<bool()> condition, int timeout_ms = 20000) { return QTest::qWaitFor(std::move(condition), timeout_ms); }
  /// Types a prompt and presses Ctrl+Enter, as a user does.
  void type_and_generate(const QString& prompt) {
    QPlainTextEdit* field = window_->request()->prompt();
    field->setFocus();
    field->selectAll();
    QTest::keyClicks(field, prompt);
    QTest::keyClick(field, Qt::Key_Return, Qt::ControlModifier);
  }
  bool wait_idle() {
    return wait([&] { return !session_->busy() && session_->snapshot()->waiting.empty(); });
  }
  /// Runs the request as it stands to its end. Throws where it does not get there: a test that went on would look at nothing.
  void run_once() {
    const std::int64_t id = session_->generate();
    if (id <= 0) throw std::runtime_error("the request was refused");
    const auto ended = [&] { return session_->shown() && session_->shown()->job.id == id && session_->shown()->finished(); };
    if (!wait(ended, 60000)) throw std::runtime_error("the run did not end within a minute");
  }
  gui::CompareView* view() const { return window_->compare()->view(); }

  TemporaryFolder folder_;
  std::shared_ptr<FakeBehaviour> behaviour_;
  std::unique_ptr<gui::Session> session_;
  std::unique_ptr<gui::MainWindow> window_;
};

}  // namespace ditscope::test
