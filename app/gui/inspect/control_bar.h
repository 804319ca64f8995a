#pragma once
#include <QWidget>
#include <vector>

#include "app/gui/inspect/view_widget.h"

namespace ditscope::gui {

/// The toolbar of a view, made from its controls: choices, switches, numbers. Follows what the view says they are now.
class ControlBar : public QWidget {
  Q_OBJECT
 public:
  explicit ControlBar(ViewWidget& view, QWidget* parent = nullptr);
  void refresh();

 private:
  QWidget* make_control(const views::Control& control);
  void show_value(QWidget* widget, const views::Control& control);
  void set(const std::string& name, const std::string& value);

  ViewWidget& view_;
  std::vector<views::Control> shown_;
  std::vector<QWidget*> widgets_;
};

}  // namespace ditscope::gui
