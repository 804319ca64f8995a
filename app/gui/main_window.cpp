#include "app/gui/main_window.h"

#include <QApplication>
#include <QBoxLayout>
#include <QCloseEvent>
#include <QDragEnterEvent>
#include <QFileDialog>
#include <QKeyEvent>
#include <QLabel>
#include <QLineEdit>
#include <QMessageBox>
#include <QMimeData>
#include <QOpenGLWidget>
#include <QPlainTextEdit>
#include <QPushButton>
#include <QSettings>
#include <QSplitter>
#include <QStackedWidget>
#include <algorithm>

#include "app/gui/compare/compare_panel.h"
#include "app/gui/compare/compare_view.h"
#include "app/gui/docks/history_dock.h"
#include "app/gui/gl_support.h"
#include "app/gui/inspect/guided_tour.h"
#include "app/gui/inspect/inspect_workspace.h"
#include "app/gui/inspect/recorded_run.h"
#include "app/gui/inspect/tensors_dialog.h"
#include "app/gui/panels/first_run_page.h"
#include "app/gui/panels/message_bar.h"
#include "app/gui/panels/request_panel.h"
#include "app/gui/save_clip.h"
#include "app/gui/style/style.h"
#include "app/gui/widgets/basics.h"
#include "app/gui/widgets/text_of.h"

namespace ditscope::gui {

MainWindow::MainWindow(Session& session, QWidget* parent)
    : QMainWindow(parent), session_(session), inspect_session_(std::make_unique<InspectSession>(session)) {
  setWindowTitle("DiTScope");
  QIcon mark;
  for (const int size : {16, 32, 64, 128})
    mark.addPixmap(Style::current().pixmap("mark", Style::current().colour("text"), size, 1));
  setWindowIcon(mark);
  setAcceptDrops(true);
  setMinimumSize(960, 600);
  // A window that gets its first OpenGL widget while it is shown is made anew by Qt, and loses the focus. This one has it from
  // the start.
  if (gl_usable()) (new QOpenGLWidget(this))->hide();
  build_commands();
  qApp->installEventFilter(this);
  memory_timer_.setInterval(2000);
  connect(&memory_timer_, &QTimer::timeout, this, &MainWindow::refresh_chips);
  memory_timer_.start();
  connect(&session_, &Session::snapshot_changed, this, [this] {
    refresh_status();
    refresh_chips();
    refresh_titles();
    follow_capture();
    if (wants_first_run() != shows_first_run()) rebuild();
  });
  connect(&session_, &Session::tensors_wanted, this, &MainWindow::ask_of_tensors);
  connect(inspect_session_.get(), &InspectSession::locate_asked, this, [this](const QString& fingerprint) { locate_model(fingerprint.toStdString()); });
  connect(&session_, &Session::capture_wanted, this, [this](const QString& file) { take_capture(file.toStdString()); });
  connect(&session_, &Session::shown_changed, this, [this] {
    if (wants_first_run() != shows_first_run()) rebuild();
  });
  connect(&session_, &Session::model_changed, this, &MainWindow::refresh_status);
  rebuild();
}

MainWindow::~MainWindow() {
  qApp->removeEventFilter(this);
  // The workspace's widgets go before what they show.
  delete takeCentralWidget();
  inspect_ = nullptr;
  compare_ = nullptr;
  inspect_session_.reset();
}

bool MainWindow::wants_first_run() const {
  if (page_ != Page::Automatic) return page_ == Page::FirstRun;
  return session_.history().empty() && !session_.busy() && !session_.shown();
}

void MainWindow::set_page(Page page) {
  page_ = page;
  rebuild();
}

void MainWindow::set_gl_check(const Check& check) {
  gl_check_ = check;
  if (first_run_) first_run_->set_gl_check(check);
  if (!gl_usable()) {
    session_.say(Message::Kind::Note,
                 "This display has no OpenGL 3.3 core profile: the processor draws the views. Everything works, large maps and playback more slowly.");
  }
}

void MainWindow::apply_look() {
  const QSettings settings;
  Style::current().apply(static_cast<Light>(settings.value("look/light", 0).toInt()),
                         settings.value("look/textScale", 1.0).toDouble());
  rebuild();
}

void MainWindow::build_commands() {
  const auto add = [this](const char* menu, const QString& name, const char* keys, std::function<void()> run) {
    commands_.push_back({menu, name, QKeySequence(keys), std::move(run), false, {}, true});
  };
  const auto add_view = [this](const QString& name, const QString& keys, std::function<void()> run) {
    commands_.push_back({"", name, QKeySequence(keys), std::move(run), true, {}, true});
  };
  add("File", "Open model folder…", "Ctrl+O", [this] { choose_folder(); });
  add("File", "Open settings of a saved file…", "Ctrl+Shift+O", [this] { choose_file(); });
  add("File", "Open capture…", "Ctrl+Shift+I", [this] { choose_capture(false); });
  add("File", "Open a second capture…", "", [this] { choose_capture(true); });
  add("File", "Inspect the run that is shown", "Ctrl+I", [this] { inspect_shown(); });
  add("File", "Locate the model of the capture…", "", [this] { locate_model({}); });
  add("File", "Close captures", "", [this] { inspect_session_->close(); });
  add("File", "Save…", "Ctrl+S", [this] {
    show_save_menu(session_, compare_ ? compare_->view()->playback().frame() : 0, this,
                   mapToGlobal(QPoint(width() / 2, Style::current().px(80))));
  });
  add("File", "Quit", "Ctrl+Q", [this] { close(); });
  add("Edit", "Undo", "Ctrl+Z", [this] { session_.undo(); });
  add("Edit", "Redo", "Ctrl+Y", [this] { session_.redo(); });
  add("Edit", "Edit the prompt", "Ctrl+L", [this] {
    set_workspace(0);
    request_->prompt()->setFocus();
  });
  add("View", "Generate workspace", "Alt+1", [this] { set_workspace(0); });
  add("View", "Inspect workspace", "Alt+2", [this] { set_workspace(1); });
  add("View", "Add a bookmark", "Ctrl+D", [this] {
    if (inspect_session_->inspection().empty()) return;
    const views::InspectCursor& at = inspect_session_->inspection().cursor();
    inspect_session_->add_bookmark(QString("Step %1, layer %2, head %3").arg(at.step).arg(at.layer).arg(at.head));
  });
  add("View", "Hide side docks", "Ctrl+B", [this] { toggle_side_docks(); });
  add("View", "View alone", "F11", [this] { toggle_view_alone(); });
  add("View", "Next dock", "F6", [this] { walk_docks(); });
  const auto look = [this](const QString& key, const QVariant& value) {
    QSettings().setValue(key, value);
    apply_look();
  };
  add("View", "Light: as the system", "", [look] { look("look/light", 0); });
  add("View", "Light: dark", "", [look] { look("look/light", 1); });
  add("View", "Light: light", "", [look] { look("look/light", 2); });
  add("View", "Larger text", "Ctrl++", [look] { look("look/textScale", std::min(2.0, Style::current().text_scale() + 0.1)); });
  add("View", "Smaller text", "Ctrl+-", [look] { look("look/textScale", std::max(0.8, Style::current().text_scale() - 0.1)); });
  add("View", "Reset layout", "", [this] {
    side_hidden_ = alone_ = false;
    workspace_ = 0;
    workspaces_ = nullptr;  // so that the former layout is not saved again
    QSettings().remove("layout");
    rebuild();
  });
  add("View", "First page", "", [this] { set_page(shows_first_run() ? Page::Generate : Page::FirstRun); });
  add("Run", "Generate", "Ctrl+Return", [this] { generate(false); });
  add("Run", "Put in the queue", "Ctrl+Shift+Return", [this] { generate(true); });
  add("Run", "Pause or resume", "Ctrl+Shift+.", [this] { session_.pause_or_go_on(); });
  add("Run", "Stop", "Ctrl+.", [this] { session_.stop(); });
  add("Run", "Stop and decode", "", [this] { session_.stop_and_decode(); });
  add("Run", "Another seed", "", [this] { session_.roll_seed(); });
  add("Help", "Tour of the recorded run", "", [this] { open_recorded_run(); });
  add("Help", "Keys", "", [this] { show_key_sheet(commands_, this); });
  add("Help", "Find a command…", "Ctrl+Shift+P", [this] { show_palette(commands_, this); });
  add("Help", "How PSNR and SSIM are measured", "", [this] {
    session_.say(Message::Kind::Note,
                 "PSNR is 10·log10(1/MSE) on decoded RGB in 0–1 before encoding, mean over frames. SSIM uses an 11 × 11 "
                 "Gaussian window with σ 1.5 per channel. Both compare a run with A of the same job.");
  });
  add("Help", "About DiTScope", "", [this] {
    session_.say(Message::Kind::Note,
                 QString("DiTScope %1. Generates videos with diffusion transformers and shows what their attention does. "
                         "Apache License 2.0.")
                     .arg(QCoreApplication::applicationVersion()));
  });

  add_view("Play or pause", "Space", [this] { compare_->toggle_play(); });
  add_view("One frame back", ",", [this] { compare_->step(-1); });
  add_view("One frame on", ".", [this] { compare_->step(1); });
  static const char* kModes[] = {"Show A", "Show B", "Wipe; again turns the line", "Side by side", "Difference", "A, B and wipe"};
  for (int i = 0; i < 6; ++i) add_view(kModes[i], QString::number(i + 1), [this, i] { compare_->choose_mode(i); });
  add_view("Next kind of difference", "0", [this] { compare_->next_difference(); });
  add_view("Swap A and B", "S", [this] { compare_->swap(); });
  add_view("Wipe follows the mouse", "M", [this] {
    views::CompareState state = compare_->view()->state();
    state.wipe_follows_mouse = !state.wipe_follows_mouse;
    compare_->view()->set_state(state);
  });
  add_view("Fit", "F", [this] { compare_->view()->fit(); });
  add("", "One image pixel on one screen pixel", "Ctrl+0", [this] {
    if (workspace_ == 1) {
      const QKeyEvent key(QEvent::KeyPress, Qt::Key_0, Qt::ControlModifier);
      inspect_->handle_key(key);
    } else if (compare_) {
      compare_->view()->one_to_one();
    }
  });
  const std::vector<std::pair<const char*, const char*>> inspect_keys{
      {"Inspect: step back, on", "[ ]"},      {"Inspect: layer", "Up Down"},     {"Inspect: head", "Left Right"},  {"Inspect: lock the tab", "L"},
      {"Inspect: autorange", "N"},            {"Inspect: bookmarks", "Ctrl+1…0"}, {"Inspect: pin the readout", "F1"}};
  for (const auto& [name, keys] : inspect_keys) commands_.push_back({"", name, {}, [] {}, false, keys, false});
  commands_.push_back({"", "Flicker between A and B", {}, [] {}, false, "hold Shift", false});
  commands_.push_back({"", "Zoom about the cursor; Shift finer, Ctrl coarser", {}, [] {}, false, "wheel", false});
  commands_.push_back({"", "Pan", {}, [] {}, false, "drag", false});
  commands_.push_back({"", "Peel one layer: a drag, a lock, the view alone, then the run stops", {}, [this] { peel(); }, false, "Esc", false});
  commands_.push_back({"", "This sheet", {}, [this] { show_key_sheet(commands_, this); }, false, "?", false});

  for (Command& command : commands_) {
    if (command.view_key || command.keys.isEmpty()) continue;
    auto* action = new QAction(command.name, this);
    QList<QKeySequence> keys{command.keys};
    // The Enter of the number pad is another key.
    if (command.keys == QKeySequence("Ctrl+Return")) keys << QKeySequence("Ctrl+Enter");
    action->setShortcuts(keys);
    action->setShortcutContext(Qt::WindowShortcut);
    connect(action, &QAction::triggered, this, [run = command.run] { run(); });
    addAction(action);
  }
}

void MainWindow::generate(bool at_the_end) {
  // A press of Generate on the first page leaves it as soon as something runs.
  if (page_ == Page::FirstRun) page_ = Page::Automatic;
  // A number that is still being typed counts as typed.
  if (auto* field = qobject_cast<QLineEdit*>(QApplication::focusWidget())) {
    field->clearFocus();
    field->setFocus();
  }
  session_.generate(at_the_end);
}

void MainWindow::choose_folder() {
  const QString folder =
      QFileDialog::getExistingDirectory(this, "Open a diffusers folder", QSettings().value("models/folder").toString());
  if (folder.isEmpty()) return;
  QSettings().setValue("models/folder", folder);
  session_.open_model(folder.toStdString());
}

void MainWindow::locate_model(const std::string& fingerprint) {
  const auto missing = inspect_session_->missing_models();
  const auto it = std::find_if(missing.begin(), missing.end(), [&](const auto& model) { return fingerprint.empty() || model.fingerprint == fingerprint; });
  if (it == missing.end()) {
    session_.say(Message::Kind::Note, inspect_session_->inspection().empty() ? "No run is open." : "Nothing is missing: the open captures replay with the models that are here.");
    return;
  }
  const InspectSession::MissingModel wanted = *it;
  const QString folder =
      QFileDialog::getExistingDirectory(this, QString("Where is %1 (hash %2)?").arg(text_of(wanted.name), text_of(wanted.fingerprint.substr(0, 12))),
                                        QSettings().value("models/folder").toString());
  if (folder.isEmpty()) return;
  QSettings().setValue("models/folder", folder);
  inspect_session_->locate_model(wanted.fingerprint, folder.toStdString());
}

void MainWindow::choose_file() {
  const QString file =
      QFileDialog::getOpenFileName(this, "Bring back the settings of a saved file", QSettings().value("save/folder").toString(),
                                   "Saved by DiTScope (*.mp4 *.gif *.png *.json)");
  if (!file.isEmpty()) session_.open_path(file.toStdString());
}

void MainWindow::choose_capture(bool beside) {
  const QString file = QFileDialog::getOpenFileName(this, beside ? "Open a second capture" : "Open a capture",
                                                    QSettings().value("captures/folder").toString(),
                                                    beside ? "Captures (*.ditcap)" : "Captures, or q, k and v of any program (*.ditcap *.safetensors)");
  if (file.isEmpty()) return;
  QSettings().setValue("captures/folder", QFileInfo(file).absolutePath());
  if (file.endsWith(".safetensors")) {
    session_.open_path(file.toStdString());
  } else {
    open_capture(file.toStdString(), beside);  // as asked for, whatever is open
  }
}

bool MainWindow::open_capture(const std::filesystem::path& file, bool beside) {
  const bool opened = inspect_session_->open(file, beside);
  if (opened) set_workspace(1);
  return opened;
}

void MainWindow::ask_of_tensors(const QString& file, const std::vector<std::int64_t>& shape) {
  auto* dialog = new TensorsDialog(session_, file.toStdString(), shape, this);
  dialog->setAttribute(Qt::WA_DeleteOnClose);
  connect(dialog, &TensorsDialog::recorded, this, [this](const QString& capture) { open_capture(capture.toStdString()); });
  dialog->open();
}

/// A file that was dropped or named: beside the one capture that somebody looks at, else alone.
void MainWindow::take_capture(const std::filesystem::path& file) {
  const auto& open = inspect_session_->inspection().captures();
  std::error_code ignored;
  const bool beside = workspace_ == 1 && open.size() == 1 && !std::filesystem::equivalent(open[0], file, ignored);
  const QString other = beside ? text_of(open[0].filename().string()) : QString();
  if (!open_capture(file, beside) || !beside) return;
  session_.say(Message::Kind::Note, QString("%1 is open beside %2: its runs have the letters after those, and views difference them against A.").arg(text_of(file.filename().string()), other),
               {{"Open it alone", [this, file] { open_capture(file); }}});
}

void MainWindow::record_next() {
  session_.edit("", [](PairRequest& pair) { pair.capture = CaptureOptions::Level::Summary; });
  set_workspace(0);
  session_.say(Message::Kind::Note, "Capture is on: the next run is recorded, and Inspect follows it.");
}

void MainWindow::open_recorded_run() {
  try {
    if (open_capture(recorded_run())) GuidedTour::start(*this);
  } catch (const std::exception& problem) {
    session_.say(Message::Kind::Error, QString::fromUtf8(problem.what()));
  }
}

void MainWindow::inspect_shown() {
  const auto& job = session_.shown();
  const std::filesystem::path file = job ? session_.capture_of(job->job.id) : std::filesystem::path();
  if (job && std::filesystem::exists(file)) {
    open_capture(file);
  } else {
    session_.say(Message::Kind::Note, "This run was not recorded. Choose Capture: summary or full in the request, then generate.");
  }
}

/// A job that records is followed in the Inspect workspace, unless somebody looks at something else there.
void MainWindow::follow_capture() {
  const auto job = session_.snapshot()->running;
  if (!job || job->capture.empty() || job->capture == followed_) return;
  followed_ = job->capture;
  if (workspace_ == 1 && !inspect_session_->inspection().empty()) return;
  inspect_session_->close();
  inspect_session_->follow(job->capture);
}

void MainWindow::set_workspace(int index) {
  workspace_ = index;
  if (hints_) hints_->setVisible(index == 0);
  if (view_keys_) view_keys_->setVisible(index == 1);
  refresh_status();
  workspaces_->setCurrentIndex(index);
  for (int i = 0; i < static_cast<int>(workspace_buttons_.size()); ++i)
    workspace_buttons_[static_cast<std::size_t>(i)]->setChecked(i == index);
}

void MainWindow::peel() {
  if (auto* tour = findChild<GuidedTour*>()) {
    tour->deleteLater();
    return;
  }
  if (workspace_ == 1 && inspect_->peel()) return;
  if (alone_) {
    toggle_view_alone();
  } else if (session_.busy()) {
    session_.stop();
  }
}

void MainWindow::toggle_side_docks() {
  side_hidden_ = !side_hidden_;
  for (QWidget* dock : side_docks_) dock->setVisible(!side_hidden_);
  inspect_->hide_side_docks(side_hidden_);
}

void MainWindow::toggle_view_alone() {
  if (workspace_ == 1) {
    alone_ = !alone_;
    for (QWidget* part : chrome_) part->setVisible(!alone_);
    inspect_->show_alone(alone_);
    return;
  }
  if (!compare_) return;
  alone_ = !alone_;
  for (QWidget* dock : side_docks_) dock->setVisible(!alone_ && !side_hidden_);
  for (QWidget* part : chrome_) part->setVisible(!alone_);
  compare_->set_bare(alone_);
  compare_->view()->setFocus();
}

void MainWindow::walk_docks() {
  if (workspace_ == 1) return inspect_->walk();
  std::vector<QWidget*> stops{request_->prompt()};
  if (compare_) stops.push_back(compare_->view());
  if (history_) stops.push_back(history_->list());
  std::size_t next = 0;
  for (std::size_t i = 0; i < stops.size(); ++i) {
    if (stops[i]->hasFocus()) next = (i + 1) % stops.size();
  }
  stops[next]->setFocus();
}

bool MainWindow::handle_view_key(QKeyEvent* event) {
  QWidget* focus = QApplication::focusWidget();
  if (QApplication::activePopupWidget() || QApplication::activeModalWidget()) return false;
  if (qobject_cast<QLineEdit*>(focus) || qobject_cast<QPlainTextEdit*>(focus)) return false;
  if (event->key() == Qt::Key_Question) {
    show_key_sheet(commands_, this);
    return true;
  }
  if (event->key() == Qt::Key_Space && qobject_cast<QAbstractButton*>(focus)) return false;
  if (workspace_ == 1) return inspect_->handle_key(*event);
  if (!compare_ || workspace_ != 0 || !compare_->view()->has_clip()) return false;
  if (event->modifiers() & ~(Qt::ShiftModifier | Qt::KeypadModifier)) return false;
  for (const Command& command : commands_) {
    if (command.view_key && command.keys == QKeySequence(event->key())) {
      command.run();
      return true;
    }
  }
  return false;
}

bool MainWindow::eventFilter(QObject* watched, QEvent* event) {
  if (event->type() == QEvent::KeyPress || event->type() == QEvent::KeyRelease) {
    auto* key = static_cast<QKeyEvent*>(event);
    auto* widget = qobject_cast<QWidget*>(watched);
    // Each key comes by once: as it reaches the widget that has the focus.
    if (!widget || widget->window() != this || widget != (QApplication::focusWidget() ? QApplication::focusWidget() : this))
      return false;
    const bool in_text = qobject_cast<QLineEdit*>(widget) || qobject_cast<QPlainTextEdit*>(widget);
    if (key->key() == Qt::Key_Shift && !key->isAutoRepeat() && inspect_) {
      inspect_->hold_shift(event->type() == QEvent::KeyPress && !in_text && workspace_ == 1);
    }
    if (key->key() == Qt::Key_Shift && compare_ && !key->isAutoRepeat()) {
      const bool on = event->type() == QEvent::KeyPress && !in_text && workspace_ == 0 && compare_->view()->has_clip();
      if (on) {
        // Reduced motion: B stands still instead of the runs alternating.
        views::CompareState state = compare_->view()->state();
        state.flicker_hz = QSettings().value("motion").toString() == "reduced" ? 0 : 2;
        compare_->view()->set_state(state);
      }
      compare_->view()->set_flicker(on);
      return false;
    }
    if (event->type() == QEvent::KeyPress) {
      if (key->key() == Qt::Key_Escape && !QApplication::activePopupWidget() && !QApplication::activeModalWidget()) {
        peel();
        return true;
      }
      if (handle_view_key(key)) return true;
    }
  }
  return QMainWindow::eventFilter(watched, event);
}

void MainWindow::changeEvent(QEvent* event) {
  QMainWindow::changeEvent(event);
  // Whoever takes the keyboard away gets the release of what is held.
  if (event->type() == QEvent::ActivationChange && !isActiveWindow() && inspect_) inspect_->hold_shift(false);
}

void MainWindow::resizeEvent(QResizeEvent* event) {
  QMainWindow::resizeEvent(event);
  if (!building_ && width_class() != built_width_) {
    QMetaObject::invokeMethod(
        this,
        [this] {
          if (width_class() != built_width_) rebuild();
        },
        Qt::QueuedConnection);
  }
}

void MainWindow::dragEnterEvent(QDragEnterEvent* event) {
  if (event->mimeData()->hasUrls()) event->acceptProposedAction();
}

void MainWindow::dropEvent(QDropEvent* event) {
  int dropped = 0;
  for (const QUrl& url : event->mimeData()->urls()) {
    if (!url.isLocalFile()) continue;
    session_.open_path(url.toLocalFile().toStdString());  // a capture comes back as capture_wanted()
    event->acceptProposedAction();
    // Two captures open beside each other; of anything else the first.
    if (!url.fileName().endsWith(".ditcap") || ++dropped == 2) return;
  }
}

void MainWindow::closeEvent(QCloseEvent* event) {
  // Modal only where work would be lost.
  if (session_.busy()) {
    const auto answer = QMessageBox::question(this, "A run goes on",
                                              "A run goes on. Closing ends it, and its latents are lost. Requests that wait "
                                              "go on with the next start.",
                                              QMessageBox::Close | QMessageBox::Cancel, QMessageBox::Cancel);
    if (answer != QMessageBox::Close) {
      event->ignore();
      return;
    }
  }
  save_layout();
  QSettings().setValue("layout/geometry", saveGeometry());
  event->accept();
}

}  // namespace ditscope::gui
