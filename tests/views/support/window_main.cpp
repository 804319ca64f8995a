#include <gtest/gtest.h>

#include <QtTest/QtTest>
#include <QtWidgets/QtWidgets>
#include <cstdio>

#include "app/gui/gl_support.h"
#include "app/gui/style/style.h"

// The window's tests need a display, with whatever OpenGL it has. Without a display this program says so and fails.
int main(int argc, char** argv) {
  ::testing::InitGoogleTest(&argc, argv);
  if (qEnvironmentVariableIsEmpty("DISPLAY") && qEnvironmentVariableIsEmpty("WAYLAND_DISPLAY") && qgetenv("QT_QPA_PLATFORM") != "offscreen") {
    std::fprintf(stderr, "test_window needs a display; run it under xvfb-run -s '-screen 0 2560x1600x24'\n");
    return 1;
  }
  QTemporaryDir settings;
  QSettings::setDefaultFormat(QSettings::IniFormat);
  QSettings::setPath(QSettings::IniFormat, QSettings::UserScope, settings.path());
  QApplication application(argc, argv);
  QCoreApplication::setOrganizationName("ditscope-test");
  QCoreApplication::setApplicationName("ditscope");
  ditscope::gui::choose_gl_format();
  ditscope::gui::Style::current().load_fonts();
  ditscope::gui::Style::current().apply(ditscope::gui::Light::Dark, 1);
  return RUN_ALL_TESTS();
}
