#pragma once
#include <QToolButton>
#include <QWidget>
#include <vector>

#include "app/gui/inspect/view_widget.h"

namespace ditscope::gui {

/// The toolbar of a view, made from its controls: choices, switches, numbers. Follows what the view says they are now. One line; what
/// does not fit comes out with the button at its end.
class ControlBar : public QWidget {
  Q_OBJECT
 public:
  explicit ControlBar(ViewWidget& view, QWidget* parent = nullptr);
  void refresh();

 protected:
  void resizeEvent(QResizeEvent* event) override;

 private:
  void fold();
  QWidget* make_control(const views::Control& control);
  void show_value(QWidget* widget, const views::Control& control);
  void set(const std::string& name, const std::string& value);

  ViewWidget& view_;
  std::vector<views::Control> shown_;
  std::vector<QWidget*> widgets_;
  QToolButton* more_ = nullptr;
};

}  // namespace ditscope::gui
