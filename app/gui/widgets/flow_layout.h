#pragma once
#include <QLayout>
#include <QStyle>
#include <vector>

namespace ditscope::gui {

/// Widgets in lines, left to right, as many a line as fit.
class FlowLayout : public QLayout {
 public:
  explicit FlowLayout(QWidget* parent, int gap_px);
  ~FlowLayout() override;
  void addItem(QLayoutItem* item) override { items_.push_back(item); }
  int count() const override { return static_cast<int>(items_.size()); }
  QLayoutItem* itemAt(int index) const override;
  QLayoutItem* takeAt(int index) override;
  Qt::Orientations expandingDirections() const override { return {}; }
  bool hasHeightForWidth() const override { return true; }
  int heightForWidth(int width) const override;
  QSize sizeHint() const override { return minimumSize(); }
  QSize minimumSize() const override;
  void setGeometry(const QRect& rect) override;

 private:
  int arrange(const QRect& rect, bool move) const;
  std::vector<QLayoutItem*> items_;
  int gap_px_;
};

}  // namespace ditscope::gui
