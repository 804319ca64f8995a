#pragma once
#include <QMainWindow>
#include <QTimer>
#include <filesystem>
#include <memory>
#include <vector>

#include "app/gui/commands.h"
#include "app/gui/self_test.h"
#include "app/gui/session.h"

class QLabel;
class QMenuBar;
class QPushButton;
class QSplitter;
class QStackedWidget;

namespace ditscope::gui {

class ComparePanel;
class FirstRunPage;
class InspectSession;
class InspectWorkspace;
class HistoryPage;
class RequestPanel;

/// The frame of the program: header, workspaces, status bar. Its widgets are made anew from the session's state whenever the
/// look or the layout class changes.
class MainWindow : public QMainWindow {
  Q_OBJECT
 public:
  enum class Page { Automatic, FirstRun, Generate, Inspect };
  explicit MainWindow(Session& session, QWidget* parent = nullptr);
  ~MainWindow() override;

  void set_page(Page page);
  void set_gl_check(const Check& check);
  /// Reads light and text scale from the settings and makes the widgets anew.
  void apply_look();
  Session& session() { return session_; }
  ComparePanel* compare() const { return compare_; }
  RequestPanel* request() const { return request_; }
  HistoryPage* history() const { return history_; }
  InspectSession& inspect_session() { return *inspect_session_; }
  InspectWorkspace* inspect() const { return inspect_; }
  /// Opens a capture in the Inspect workspace. @param beside  keeps the one that is open
  bool open_capture(const std::filesystem::path& file, bool beside = false);
  /// The run that comes with the program, with the tour of the workspace. @throws nothing: says where it looked
  void open_recorded_run();
  bool shows_first_run() const { return first_run_ != nullptr; }

 protected:
  bool eventFilter(QObject* watched, QEvent* event) override;
  void changeEvent(QEvent* event) override;
  void resizeEvent(QResizeEvent* event) override;
  void dragEnterEvent(QDragEnterEvent* event) override;
  void dropEvent(QDropEvent* event) override;
  void closeEvent(QCloseEvent* event) override;

 private:
  enum class Width { Narrow, Compact, Standard, Wide };
  Width width_class() const;
  bool wants_first_run() const;
  void rebuild();
  void build_commands();
  QWidget* build_header();
  QWidget* build_status_bar();
  QWidget* build_generate();
  QSplitter* make_splitter(Qt::Orientation orientation, const QString& name);
  void save_layout();
  void refresh_status();
  void refresh_chips();
  void refresh_titles();
  void set_workspace(int index);
  void generate(bool at_the_end);
  void choose_folder();
  void choose_file();
  void choose_capture(bool beside);
  /// Asks where the model of an open capture lies. @param fingerprint  of the model; empty: of the first one that is missing
  void locate_model(const std::string& fingerprint);
  void ask_of_tensors(const QString& file, const std::vector<std::int64_t>& shape);
  void inspect_shown();
  void follow_capture();
  void record_next();
  void take_capture(const std::filesystem::path& file);
  void peel();
  void toggle_side_docks();
  void toggle_view_alone();
  void walk_docks();
  bool handle_view_key(class QKeyEvent* event);

  Session& session_;
  std::unique_ptr<InspectSession> inspect_session_;
  std::vector<Command> commands_;
  Page page_ = Page::Automatic;
  Width built_width_ = Width::Standard;
  QString layout_key_;  ///< of the settings that hold what is built
  bool building_ = false, side_hidden_ = false, alone_ = false;
  int workspace_ = 0;
  Check gl_check_;
  QStackedWidget* workspaces_ = nullptr;
  std::vector<QPushButton*> workspace_buttons_;
  std::vector<QWidget*> side_docks_, chrome_;
  RequestPanel* request_ = nullptr;
  ComparePanel* compare_ = nullptr;
  HistoryPage* history_ = nullptr;
  FirstRunPage* first_run_ = nullptr;
  class DockTabs* running_tabs_ = nullptr;
  int queue_tab_ = -1;
  InspectWorkspace* inspect_ = nullptr;
  QWidget* hints_ = nullptr;
  QLabel *status_ = nullptr, *status_dot_ = nullptr, *view_keys_ = nullptr;
  std::filesystem::path followed_;
  QLabel *queue_chip_ = nullptr, *device_chip_ = nullptr, *memory_chip_ = nullptr;
  QTimer memory_timer_;
};

}  // namespace ditscope::gui
