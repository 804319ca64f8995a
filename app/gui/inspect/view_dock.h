#pragma once
#include <QStackedWidget>
#include <QWidget>
#include <string>
#include <vector>

#include "app/gui/inspect/view_widget.h"

class QHBoxLayout;
class QLabel;
class QPushButton;
class QToolButton;

namespace ditscope::gui {

/// A dock of the Inspect workspace: tabs of views, and for the one that is shown lock, export and help. Tabs that do not fit are in
/// a menu. A low dock has the toolbar of its first view in its header.
class ViewDock : public QWidget {
  Q_OBJECT
 public:
  ViewDock(InspectSession& session, const QString& name, const std::vector<std::string>& ids, bool low = false, QWidget* parent = nullptr);
  ViewWidget* current() const;
  ViewWidget* view(const std::string& id) const;  ///< null: not of this dock
  const std::vector<ViewWidget*>& views() const { return views_; }
  void show_view(const std::string& id);

 Q_SIGNALS:
  void entered(const std::string& id);  ///< the mouse is over this view
  void shown(const std::string& id);

 protected:
  void resizeEvent(QResizeEvent* event) override;

 private:
  void set_current(int index);
  void arrange_tabs();
  void refresh_tools();
  void show_help();
  void show_more();

  InspectSession& session_;
  std::vector<ViewWidget*> views_;
  std::vector<QPushButton*> tabs_;
  QStackedWidget* pages_ = nullptr;
  QToolButton *lock_ = nullptr, *export_ = nullptr, *help_ = nullptr, *more_ = nullptr;
  QLabel* own_ = nullptr;
};

}  // namespace ditscope::gui
