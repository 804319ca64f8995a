#pragma once
#include <QStackedWidget>
#include <QWidget>
#include <vector>

class QHBoxLayout;
class QPushButton;

namespace ditscope::gui {

/// A dock: a header of tabs with room for controls at the right, and one page a tab below.
class DockTabs : public QWidget {
  Q_OBJECT
 public:
  explicit DockTabs(const QString& name, QWidget* parent = nullptr);
  /// @param tools  shown at the right of the header while this tab is; may be null
  int add_page(const QString& title, QWidget* page, QWidget* tools = nullptr);
  void set_title(int index, const QString& title);
  void set_current(int index);

 private:
  QHBoxLayout* header_;
  QStackedWidget* pages_;
  std::vector<QPushButton*> tabs_;
  std::vector<QWidget*> tools_;
};

}  // namespace ditscope::gui
