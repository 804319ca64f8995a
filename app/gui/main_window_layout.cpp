// How the window is put together: header, workspaces, status bar, for each class of width.
#include <QApplication>
#include <QBoxLayout>
#include <QLabel>
#include <QMenuBar>
#include <QPlainTextEdit>
#include <QPushButton>
#include <QSettings>
#include <QSplitter>
#include <QStackedWidget>
#include <cmath>
#include <thread>

#include "app/gui/compare/compare_panel.h"
#include "app/gui/compare/compare_view.h"
#include "app/gui/docks/dock_tabs.h"
#include "app/gui/docks/history_dock.h"
#include "app/gui/docks/running_dock.h"
#include "app/gui/main_window.h"
#include "app/gui/panels/first_run_page.h"
#include "app/gui/panels/memory_bar.h"
#include "app/gui/panels/message_bar.h"
#include "app/gui/inspect/inspect_session.h"
#include "app/gui/inspect/inspect_workspace.h"
#include "app/gui/panels/request_panel.h"
#include "app/gui/save_clip.h"
#include "app/gui/style/style.h"
#include "app/gui/widgets/basics.h"
#include "app/gui/widgets/text_of.h"
#include "views/state/words.h"

namespace ditscope::gui {
namespace {

constexpr int kCompactFrom_px = 1000, kStandardFrom_px = 1440, kWideFrom_px = 2048;

}  // namespace

MainWindow::Width MainWindow::width_class() const {
  const double logical = width() / Style::current().text_scale();
  if (logical < kCompactFrom_px) return Width::Narrow;
  return logical < kStandardFrom_px ? Width::Compact : logical < kWideFrom_px ? Width::Standard : Width::Wide;
}

QSplitter* MainWindow::make_splitter(Qt::Orientation orientation, const QString& name) {
  auto* splitter = new QSplitter(orientation);
  splitter->setObjectName(name);
  splitter->setHandleWidth(1);
  splitter->setChildrenCollapsible(false);
  return splitter;
}

void MainWindow::save_layout() {
  if (!centralWidget() || !workspaces_) return;
  for (QSplitter* splitter : centralWidget()->findChildren<QSplitter*>()) {
    // Docks that nobody has moved go with the window.
    if (inspect_ && inspect_->isAncestorOf(splitter) && !inspect_->keeps_sizes()) continue;
    QSettings().setValue(layout_key_ + splitter->objectName(), splitter->saveState());
  }
}

void MainWindow::rebuild() {
  if (building_) return;
  building_ = true;
  save_layout();
  const bool prompt_focused = request_ && request_->prompt()->hasFocus();
  built_width_ = width_class();
  side_docks_.clear();
  chrome_.clear();
  workspace_buttons_.clear();
  compare_ = nullptr;
  history_ = nullptr;
  inspect_ = nullptr;
  first_run_ = nullptr;
  running_tabs_ = nullptr;
  alone_ = false;
  auto* central = new QWidget;
  central->setObjectName("window");
  auto* layout = new QVBoxLayout(central);
  layout->setContentsMargins(0, 0, 0, 0);
  layout->setSpacing(0);
  QWidget* header = build_header();
  layout->addWidget(header);
  layout->addWidget(new MessageBar(session_));
  workspaces_ = new QStackedWidget;
  workspaces_->addWidget(build_generate());
  inspect_ = new InspectWorkspace(*inspect_session_, static_cast<InspectWorkspace::Width>(built_width_));
  connect(inspect_, &InspectWorkspace::open_asked, this, &MainWindow::choose_capture);
  connect(inspect_, &InspectWorkspace::tour_asked, this, &MainWindow::open_recorded_run);
  connect(inspect_, &InspectWorkspace::record_asked, this, &MainWindow::record_next);
  connect(inspect_, &InspectWorkspace::status_changed, this, &MainWindow::refresh_status);
  for (ViewWidget* view : inspect_->views()) {
    connect(view, &ViewWidget::gl_failed, this, [this](const QString& problem) { session_.say(Message::Kind::Warning, problem); });
  }
  workspaces_->addWidget(inspect_);
  layout->addWidget(workspaces_, 1);
  QWidget* status = build_status_bar();
  layout->addWidget(status);
  chrome_ = {header, status};
  setCentralWidget(central);

  static const char* kNames[] = {"narrow", "compact", "standard", "wide"};
  layout_key_ =
      QString("layout/%1-%2/").arg(kNames[static_cast<int>(built_width_)]).arg(std::lround(Style::current().text_scale() * 10));
  for (QSplitter* splitter : central->findChildren<QSplitter*>()) {
    const QByteArray state = QSettings().value(layout_key_ + splitter->objectName()).toByteArray();
    if (state.isEmpty()) continue;
    splitter->restoreState(state);
    if (inspect_->isAncestorOf(splitter)) inspect_->keep_sizes();
  }
  set_workspace(workspace_);
  for (QWidget* dock : side_docks_) dock->setVisible(!side_hidden_);
  refresh_status();
  refresh_chips();
  refresh_titles();
  if (prompt_focused || first_run_) request_->prompt()->setFocus();
  building_ = false;
}

QWidget* MainWindow::build_header() {
  const Style& style = Style::current();
  auto* header = new QWidget;
  header->setObjectName("header");
  header->setAttribute(Qt::WA_StyledBackground);
  header->setFixedHeight(style.px(40));
  auto* line = new QHBoxLayout(header);
  line->setContentsMargins(style.px(12), 0, style.px(12), 0);
  line->setSpacing(style.px(8));
  auto* left = new QWidget;
  auto* left_line = new QHBoxLayout(left);
  left_line->setContentsMargins(0, 0, 0, 0);
  left_line->setSpacing(style.px(8));
  auto* mark = new QLabel;
  mark->setPixmap(style.pixmap("mark", style.colour("text"), style.px(18), devicePixelRatioF()));
  left_line->addWidget(mark);
  left_line->addWidget(make_label("DiTScope", "strong"));
  auto* menus = new QMenuBar;
  for (const char* title : {"File", "Edit", "View", "Run", "Help"}) {
    QMenu* menu = menus->addMenu(title);
    for (const Command& command : commands_) {
      if (command.menu != title) continue;
      if (command.name.startsWith("Light: as") || command.name == "Reset layout" || command.name == "Quit" ||
          command.name == "Another seed")
        menu->addSeparator();
      QAction* action =
          menu->addAction(command.keys.isEmpty()
                              ? command.name
                              : command.name + "\t" + command.keys.toString(QKeySequence::NativeText).replace("Return", "Enter"));
      connect(action, &QAction::triggered, this, [run = command.run] {
        // Later: the command may replace the menu bar that it came from.
        QMetaObject::invokeMethod(qApp, run, Qt::QueuedConnection);
      });
      if (command.name == "Undo" || command.name == "Redo") {
        const bool undo = command.name == "Undo";
        connect(menu, &QMenu::aboutToShow, action,
                [this, action, undo] { action->setEnabled(undo ? session_.can_undo() : session_.can_redo()); });
      }
      if (command.name == "Stop" || command.name == "Stop and decode" || command.name == "Pause or resume") {
        connect(menu, &QMenu::aboutToShow, action, [this, action] { action->setEnabled(session_.busy()); });
      }
      if (command.name == "Save…") {
        connect(menu, &QMenu::aboutToShow, action, [this, action] { action->setEnabled(session_.shown() != nullptr); });
      }
    }
  }
  menus->setSizePolicy(QSizePolicy::Maximum, QSizePolicy::Maximum);
  left_line->addWidget(menus, 0, Qt::AlignVCenter);
  left_line->addStretch(1);
  line->addWidget(left, 1);
  static const char* kWorkspaces[] = {"Generate", "Inspect"};
  for (int i = 0; i < 2; ++i) {
    auto* button = make_button(kWorkspaces[i], {}, "workspace");
    button->setCheckable(true);
    button->setToolTip(QString("Alt+%1").arg(i + 1));
    connect(button, &QPushButton::clicked, this, [this, i] { set_workspace(i); });
    workspace_buttons_.push_back(button);
    line->addWidget(button);
    line->addSpacing(style.px(4));
  }
  auto* right = new QWidget;
  auto* right_line = new QHBoxLayout(right);
  right_line->setContentsMargins(0, 0, 0, 0);
  right_line->setSpacing(style.px(14));
  right_line->addStretch(1);
  queue_chip_ = make_label("", "chip");
  device_chip_ = make_label("", "chip");
  memory_chip_ = make_label("", "chip");
  for (QLabel* chip : {queue_chip_, device_chip_, memory_chip_}) right_line->addWidget(chip, 0, Qt::AlignVCenter);
  // Where there is no room, the readouts that nobody needs to act go first.
  if (built_width_ == Width::Narrow) {
    for (QLabel* chip : {device_chip_, memory_chip_}) chip->hide();
  }
  line->addWidget(right, built_width_ == Width::Narrow ? 0 : 1);
  return header;
}

QWidget* MainWindow::build_status_bar() {
  const Style& style = Style::current();
  auto* bar = new QWidget;
  bar->setObjectName("statusBar");
  bar->setAttribute(Qt::WA_StyledBackground);
  bar->setFixedHeight(style.px(24));
  auto* line = new QHBoxLayout(bar);
  line->setContentsMargins(style.px(12), 0, style.px(12), 0);
  line->setSpacing(style.px(5));
  status_dot_ = new QLabel;
  status_ = make_label("", "note");
  status_->setAccessibleName("Status");
  status_->setSizePolicy(QSizePolicy::Ignored, QSizePolicy::Preferred);
  line->addWidget(status_dot_);
  line->addSpacing(style.px(6));
  line->addWidget(status_, 1);
  using Hint = std::pair<const char*, const char*>;
  std::vector<Hint> hints{{"1", ""},         {"–5", " mode"},  {"Space", "play"},
                          {",", ""},         {".", "frame"},   {"Shift", "hold to flicker"},
                          {"wheel", "zoom"}, {"?", "all keys"}};
  if (first_run_) hints = {{"Ctrl+Enter", "generate"}, {"Ctrl+Shift+P", "find a command"}, {"?", "all keys"}};
  auto* hints_line = line;
  hints_ = new QWidget;
  line->addWidget(hints_);
  line = new QHBoxLayout(hints_);
  line->setContentsMargins(0, 0, 0, 0);
  line->setSpacing(style.px(5));
  view_keys_ = make_label("", "note");
  hints_line->addWidget(view_keys_);
  if (!first_run_) line->addWidget(make_label("Compare:", "note"));
  for (const auto& [key, word] : hints) {
    if (QString(key) == "–5") {
      line->addWidget(make_label("–", "note"));
      line->addWidget(make_label("5", "key"), 0, Qt::AlignVCenter);
      line->addWidget(make_label("mode", "note"));
      continue;
    }
    line->addWidget(make_label(key, "key"), 0, Qt::AlignVCenter);
    if (*word) line->addWidget(make_label(word, "note"));
  }
  return bar;
}

QWidget* MainWindow::build_generate() {
  const Style& style = Style::current();
  const bool compact = built_width_ <= Width::Compact, wide = built_width_ == Width::Wide;
  const bool first = wants_first_run();
  auto* main = make_splitter(Qt::Horizontal, first ? "first" : "generate");
  auto* request_dock = new DockTabs("Request");
  request_ = new RequestPanel(session_, first);
  request_dock->add_page("Request", request_);
  request_dock->setMinimumWidth(style.px(280));
  main->addWidget(request_dock);
  connect(request_, &RequestPanel::generate, this, &MainWindow::generate);
  connect(request_, &RequestPanel::open_folder, this, &MainWindow::choose_folder);
  const int request_width = style.px(compact ? 300 : 320);
  if (first) {
    first_run_ = new FirstRunPage(session_);
    if (!gl_check_.name.isEmpty()) first_run_->set_gl_check(gl_check_);
    connect(first_run_, &FirstRunPage::generate, this, [this] { generate(false); });
    connect(first_run_, &FirstRunPage::open_folder, this, &MainWindow::choose_folder);
    connect(first_run_, &FirstRunPage::open_recorded, this, &MainWindow::open_recorded_run);
    // Later: the page that asks is replaced.
    connect(first_run_, &FirstRunPage::look_changed, this, [this] {
      QMetaObject::invokeMethod(
          this, [this] { apply_look(); }, Qt::QueuedConnection);
    });
    main->addWidget(first_run_);
    main->setStretchFactor(1, 1);
    main->setSizes({request_width, width() - request_width});
    return main;
  }
  auto* middle = make_splitter(Qt::Vertical, "middle");
  compare_ = new ComparePanel(session_, compact);
  connect(compare_, &ComparePanel::save, this,
          [this] { show_save_menu(session_, compare_->view()->playback().frame(), this, QCursor::pos()); });
  middle->addWidget(compare_);
  running_tabs_ = new DockTabs("Running");
  auto* running = new RunningPage(session_);
  running_tabs_->add_page("Running", running, running->tools());
  queue_tab_ = running_tabs_->add_page("Queue", new QueuePage(session_));
  history_ = new HistoryPage(session_, wide);
  middle->addWidget(running_tabs_);
  middle->setStretchFactor(0, 1);
  main->addWidget(middle);
  main->setStretchFactor(1, 1);
  const int rest = std::max(400, height() - style.px(64));
  if (compact) {
    running_tabs_->add_page("History", history_, history_->tools());
    middle->setSizes({rest - style.px(168), style.px(168)});
    main->setSizes({request_width, width() - request_width});
    side_docks_ = {request_dock, running_tabs_};
    return main;
  }
  auto* history_dock = new DockTabs("History");
  history_dock->add_page("History", history_, history_->tools());
  if (wide) {
    main->addWidget(history_dock);
    middle->setSizes({rest - style.px(160), style.px(160)});
    main->setSizes({request_width, width() - request_width - style.px(320), style.px(320)});
  } else {
    middle->addWidget(history_dock);
    middle->setSizes({rest - style.px(154 + 150), style.px(154), style.px(150)});
    main->setSizes({request_width, width() - request_width});
  }
  side_docks_ = {request_dock, running_tabs_, history_dock};
  return main;
}

void MainWindow::refresh_status() {
  if (!status_) return;
  if (workspace_ == 1 && inspect_ && view_keys_) view_keys_->setText(inspect_->keys());
  const auto snapshot = session_.snapshot();
  const Style& style = Style::current();
  QString text;
  const char* token = "ok";
  if (snapshot->running) {
    token = "accent";
    const auto& job = *snapshot->running;
    const std::size_t run = std::min(job.current(), job.runs.size() - 1);
    QString method = text_of(job.runs[run]->method.key);
    for (const MethodEntry& entry : methods()) {
      if (entry.key == job.runs[run]->method.key) method = text_of(entry.name);
    }
    QString doing = text_of(snapshot->doing);
    while (doing.endsWith('.')) doing.chop(1);
    text = QString("#%1 %2, %3%4")
               .arg(job.job.id)
               .arg(doing, method, job.job.pair.base.guidance_scale > 1 ? ", both guidance passes" : "");
    if (snapshot->paused)
      text = QString("Paused after step %1. Memory stays in use.")
                 .arg(job.runs[run]->steps.empty() ? 0 : job.runs[run]->steps.back().index);
  } else if (workspace_ == 1 && inspect_) {
    text = inspect_->status();
    token = inspect_session_->inspection().locked().empty() ? "ok" : "brush";
  } else if (!session_.last_outcome().isEmpty()) {
    text = session_.last_outcome();
  } else if (session_.model()) {
    text = QString("Ready. %1 is open.").arg(session_.model()->bundled ? "The bundled model" : text_of(session_.model()->name));
  } else if (!session_.model_problem().isEmpty()) {
    text = "No model is open.";
    token = "warn";
  } else {
    text = "Looking at the model.";
  }
  status_->setText(text);
  status_dot_->setPixmap(style.pixmap("dot", style.colour(token), style.px(10), devicePixelRatioF()));
}

void MainWindow::refresh_chips() {
  if (!memory_chip_) return;
  const auto snapshot = session_.snapshot();
  const int waiting = static_cast<int>(snapshot->waiting.size());
  queue_chip_->setVisible(snapshot->running || waiting > 0);
  queue_chip_->setText("Queue&nbsp; " + number_span(QString("%1").arg(snapshot->running ? 1 : 0)) + " running, " +
                       number_span(QString::number(waiting)) + " waiting");
  bool cuda = false;
  if (session_.shown()) {
    for (const auto& run : session_.shown()->runs) cuda = cuda || (run->result && run->result->request.device == "cuda");
  }
  device_chip_->setText(cuda ? QString("GPU&nbsp; CUDA")
                             : "CPU&nbsp; " + number_span(QString::number(std::max(1u, std::thread::hardware_concurrency()))) +
                                   " threads");
  const MemoryState memory = read_memory();
  memory_chip_->setText("Memory&nbsp; " + number_span(text_of(views::gigabytes_text(memory.process_bytes)) + " of " +
                                                      text_of(views::gigabytes_text(memory.total_bytes)) + " GB"));
  memory_chip_->setToolTip("Resident memory of this program, of what the machine has");
}

void MainWindow::refresh_titles() {
  if (!running_tabs_) return;
  const auto snapshot = session_.snapshot();
  running_tabs_->set_title(0, snapshot->running ? "Running" : "Steps");
  const int waiting = static_cast<int>(snapshot->waiting.size());
  running_tabs_->set_title(queue_tab_, waiting > 0 ? QString("Queue, %1 waiting").arg(waiting) : QString("Queue"));
}

}  // namespace ditscope::gui
