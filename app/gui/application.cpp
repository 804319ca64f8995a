#include "app/gui/application.h"

#include <QApplication>
#include <QCommandLineParser>
#include <QSettings>
#include <QStandardPaths>
#include <QTimer>
#include <algorithm>
#include <cstdio>
#include <string_view>

#include "app/gui/compare/compare_panel.h"
#include "app/gui/compare/compare_view.h"
#include "app/gui/gl_support.h"
#include "app/gui/inspect/inspect_workspace.h"
#include "app/gui/inspect/recorded_run.h"
#include "app/gui/inspect/screenshot_tour.h"
#include "app/gui/main_window.h"
#include "app/gui/style/style.h"

namespace ditscope::gui {
namespace {

/// Options that drive the window from a script: a request, and a picture of the window when it is done.
struct Automation {
  QString screenshot;
  QSize size;
  QString page, prompt, view;
  bool run = false;
  int at_step = -1, mode = -1, frame = -1, steps = 0;
};

void take_screenshot(MainWindow& window, const Automation& wanted) {
  if (window.compare()) {
    views::Playback playback = window.compare()->view()->playback();
    playback.playing = false;
    if (wanted.frame >= 0) playback = views::seek(playback, wanted.frame);
    window.compare()->view()->set_playback(playback);
    if (wanted.mode >= 0) window.compare()->choose_mode(wanted.mode);
  }
  QTimer::singleShot(700, &window, [&window, wanted] {
    const bool ok = window.grab().save(wanted.screenshot);
    if (!ok) std::fprintf(stderr, "cannot write %s\n", wanted.screenshot.toLocal8Bit().constData());
    QCoreApplication::exit(ok ? 0 : 1);
  });
}

/// @return the exit code
int screenshot_tour(MainWindow& window, const QString& folder, const QString& capture) {
  QCoreApplication::processEvents();
  if (!window.open_capture(capture.isEmpty() ? recorded_run() : std::filesystem::path(capture.toStdString()))) {
    std::fprintf(stderr, "%s\n", window.session().messages().front().text.toLocal8Bit().constData());
    return 1;
  }
  std::printf("%s\n", take_screenshot_tour(window, folder.toStdString()).c_str());
  return 0;
}

void automate(MainWindow& window, const Automation& wanted) {
  Session& session = window.session();
  if (window.inspect() && !wanted.view.isEmpty()) window.inspect()->show_view(wanted.view.toStdString());
  if (wanted.page == "first-run") window.set_page(MainWindow::Page::FirstRun);
  if (wanted.page == "generate") window.set_page(MainWindow::Page::Generate);
  if (!wanted.run) {
    if (!wanted.screenshot.isEmpty()) {
      QTimer::singleShot(2500, &window, [&window, wanted] {
        const auto& history = window.session().history();
        if (wanted.page == "generate" && !history.empty() && !window.session().shown())
          window.session().open_history(history.front().id);
        QTimer::singleShot(1500, &window, [&window, wanted] { take_screenshot(window, wanted); });
      });
    }
    return;
  }
  // As soon as the model is known: the request, then the picture when the job has ended or a step is reached.
  auto started = std::make_shared<bool>(false);
  QObject::connect(&session, &Session::derived_changed, &window, [&session, wanted, started] {
    if (*started || !session.model()) return;
    *started = true;
    session.edit("", [&](PairRequest& pair) {
      if (!wanted.prompt.isEmpty()) pair.base.prompt = wanted.prompt.toStdString();
      if (wanted.steps > 0) pair.base.steps = wanted.steps;
    });
    session.generate();
  });
  if (wanted.screenshot.isEmpty()) return;
  auto taken = std::make_shared<bool>(false);
  QObject::connect(&session, &Session::job_ended, &window, [&window, wanted, taken] {
    if (!std::exchange(*taken, true)) QTimer::singleShot(500, &window, [&window, wanted] { take_screenshot(window, wanted); });
  });
  if (wanted.at_step < 0) return;
  QObject::connect(&session, &Session::snapshot_changed, &window, [&window, &session, wanted, taken] {
    const auto job = session.snapshot()->running;
    if (*taken || !job || job->runs.size() < 2 || static_cast<int>(job->runs[1]->steps.size()) < wanted.at_step) return;
    *taken = true;
    take_screenshot(window, wanted);
  });
}

void add_options(QCommandLineParser& parser) {
  parser.setApplicationDescription("Generates videos with diffusion transformers and shows what their attention does.");
  parser.addHelpOption();
  parser.addVersionOption();
  parser.addPositionalArgument("file", "a model folder, a capture (.ditcap), or a saved MP4, GIF or PNG whose settings come back", "[file]");
  const auto option = [&](const char* name, const char* help, const char* value, bool hidden) {
    QCommandLineOption made(name, help, value);
    if (hidden) made.setFlags(QCommandLineOption::HiddenFromHelp);
    parser.addOption(made);
  };
  option("model", "open this diffusers folder", "folder", false);
  option("prompt", "start with this prompt", "text", false);
  option("data-folder", "keep history and settings here", "folder", false);
  option("screenshot-tour", "write a picture of every view of the recorded run, print how long each takes to paint (JSON), and end", "folder", false);
  option("capture", "the capture of the tour, instead of the one that comes with the program", "file", false);
  option("view", "of the Inspect workspace", "id", true);
  option("screenshot", "write a picture of the window and end", "file", true);
  option("size", "of the window", "WxH", true);
  option("page", "first-run, generate or inspect", "page", true);
  parser.addOption([] {
    QCommandLineOption run("run", "generate at once");
    run.setFlags(QCommandLineOption::HiddenFromHelp);
    return run;
  }());
  option("light", "system, dark or light", "light", true);
  option("text-scale", "0.8 to 2", "scale", true);
  option("at-step", "picture when run B has done so many steps", "steps", true);
  option("mode", "compare mode, 0 to 5", "mode", true);
  option("frame", "frame to show", "frame", true);
  option("steps", "sampling steps", "steps", true);
}

void name_application() {
  QCoreApplication::setOrganizationName("ditscope");
  QCoreApplication::setApplicationName("ditscope");
  QCoreApplication::setApplicationVersion(DITSCOPE_VERSION);
}

/// True where only text is wanted: that works without a display.
bool asks_for_text(int argc, char** argv) {
  return std::any_of(argv + 1, argv + argc, [](std::string_view argument) {
    return argument == "--help" || argument == "-h" || argument == "--help-all" || argument == "--version" || argument == "-v";
  });
}

}  // namespace

int run_application(int argc, char** argv, EngineFactory make_engine) {
  name_application();
  if (asks_for_text(argc, argv)) {
    QCoreApplication application(argc, argv);
    QCommandLineParser parser;
    add_options(parser);
    parser.process(application);  // prints and ends the program
  }
  QApplication application(argc, argv);
  QGuiApplication::setDesktopFileName("ditscope");

  QCommandLineParser parser;
  add_options(parser);
  parser.process(application);

  try {
    const bool own_folder = parser.isSet("data-folder");
    const std::filesystem::path data =
        own_folder ? parser.value("data-folder").toStdString()
                   : (QStandardPaths::writableLocation(QStandardPaths::GenericDataLocation) + "/ditscope").toStdString();
    if (own_folder) {
      QSettings::setDefaultFormat(QSettings::IniFormat);
      QSettings::setPath(QSettings::IniFormat, QSettings::UserScope, parser.value("data-folder"));
    }
    Style::current().load_fonts();
    Light light = static_cast<Light>(QSettings().value("look/light", 0).toInt());
    if (parser.isSet("light"))
      light = parser.value("light") == "light" ? Light::Light : parser.value("light") == "dark" ? Light::Dark : Light::System;
    double scale = QSettings().value("look/textScale", 1.0).toDouble();
    if (parser.isSet("text-scale")) scale = parser.value("text-scale").toDouble();
    Style::current().apply(light, scale);
    const Check gl_check = choose_gl_format();

    Session session(make_engine, data);
    const QString prompt = parser.value("prompt");
    if (!prompt.isEmpty()) session.edit("", [&](PairRequest& pair) { pair.base.prompt = prompt.toStdString(); });
    session.open_model(parser.value("model").toStdString());

    Automation wanted{parser.value("screenshot"),   {}, parser.value("page"), prompt, parser.value("view"), parser.isSet("run"), -1, -1, -1,
                      parser.value("steps").toInt()};
    if (parser.isSet("at-step")) wanted.at_step = parser.value("at-step").toInt();
    if (parser.isSet("mode")) wanted.mode = parser.value("mode").toInt();
    if (parser.isSet("frame")) wanted.frame = parser.value("frame").toInt();
    const QStringList size = parser.value("size").split('x');
    MainWindow window(session);
    window.resize(size.size() == 2 ? QSize(size[0].toInt(), size[1].toInt()) : QSize(1600, 1000));
    if (size.size() != 2) window.restoreGeometry(QSettings().value("layout/geometry").toByteArray());
    window.set_gl_check(gl_check);
    window.show();
    if (parser.isSet("screenshot-tour")) return screenshot_tour(window, parser.value("screenshot-tour"), parser.value("capture"));
    for (const QString& file : parser.positionalArguments()) session.open_path(file.toStdString());
    automate(window, wanted);
    return QApplication::exec();
  } catch (const std::exception& problem) {
    std::fprintf(stderr, "ditscope: %s\n", problem.what());
    return 1;
  }
}

}  // namespace ditscope::gui
