#pragma once
#include <QPointer>
#include <QWidget>
#include <functional>
#include <string>
#include <vector>

#include "app/gui/inspect/view_dock.h"

class QKeyEvent;
class QSplitter;
class QStackedWidget;

namespace ditscope::gui {

/// The Inspect workspace: cursor bar, docks by width class, timeline below. Without a capture it says what to do.
class InspectWorkspace : public QWidget {
  Q_OBJECT
 public:
  enum class Width { Narrow, Compact, Standard, Wide };
  InspectWorkspace(InspectSession& session, Width width, QWidget* parent = nullptr);

  /// Keys of the cursor, of the view that has the focus, then of the outputs and the timeline. @return whether one took it
  bool handle_key(const QKeyEvent& event);
  /// While Shift is held, outputs that have the focus or the mouse show A and B in turn.
  void hold_shift(bool down);
  /// Esc: a drag or popup of the focused view, then locked tokens. @return whether there was something to peel
  bool peel();
  void hide_side_docks(bool hidden);
  void show_alone(bool alone);
  /// Somebody chose the sizes of the docks: they stay. Until then the docks share out whatever room there is.
  void keep_sizes() { keeps_sizes_ = true; }
  bool keeps_sizes() const { return keeps_sizes_; }
  /// The next view gets the focus.
  void walk();
  void show_view(const std::string& id);
  ViewWidget* view(const std::string& id) const;  ///< null: no such view
  ViewWidget* focused() const;                    ///< null: none has the focus
  std::vector<ViewWidget*> views() const;
  InspectSession& session() { return session_; }
  /// What the status bar says: "Locked: token (4, 6, 8) · Hover: key (2, 6, 6)".
  QString status() const;
  /// Keys of the view under the mouse.
  QString keys() const { return keys_; }

 Q_SIGNALS:
  void open_asked(bool beside);
  void tour_asked();    ///< the recorded run of the program
  void record_asked();  ///< capture on for the next run
  void status_changed();

 protected:
  bool eventFilter(QObject* watched, QEvent* event) override;

 private:
  /// A column of docks and what its parts weigh against each other.
  struct Column {
    QSplitter* splitter = nullptr;
    int width = 0;
    std::vector<int> heights;
  };
  QWidget* build_empty();
  QWidget* build_docks(Width width);
  void share_room();
  void hide_empty_columns();
  ViewDock* add_dock(const QString& name, std::vector<std::string> ids, bool low = false);

  InspectSession& session_;
  std::vector<ViewDock*> docks_, side_docks_;
  QStackedWidget* pages_ = nullptr;
  QSplitter *rows_ = nullptr, *columns_ = nullptr;
  std::vector<Column> column_parts_;
  int low_px_ = 0;  ///< of the timeline
  bool keeps_sizes_ = false;
  QPointer<ViewWidget> held_by_;  ///< took Shift
  QString keys_;
};

}  // namespace ditscope::gui
