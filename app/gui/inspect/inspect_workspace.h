#pragma once
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
  enum class Width { Compact, Standard, Wide };
  /// @param room  of the window, for the first sizes of the docks
  InspectWorkspace(InspectSession& session, Width width, QSize room, QWidget* parent = nullptr);

  /// Keys of the cursor, of the view that has the focus, then of the outputs and the timeline. @return whether one took it
  bool handle_key(const QKeyEvent& event);
  /// Esc: a drag or popup of the focused view, then locked tokens. @return whether there was something to peel
  bool peel();
  void hide_side_docks(bool hidden);
  void show_alone(bool alone);
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
  void tour_asked();  ///< the recorded run of the program
  void status_changed();

 private:
  QWidget* build_empty();
  QWidget* build_docks(Width width, QSize room);
  ViewDock* add_dock(const QString& name, std::vector<std::string> ids, bool low = false);

  InspectSession& session_;
  std::vector<ViewDock*> docks_, side_docks_;
  QStackedWidget* pages_ = nullptr;
  QString keys_;
};

}  // namespace ditscope::gui
