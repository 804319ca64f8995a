#include "app/gui/widgets/flow_layout.h"

#include <QWidget>
#include <algorithm>

namespace ditscope::gui {

FlowLayout::FlowLayout(QWidget* parent, int gap_px) : QLayout(parent), gap_px_(gap_px) {}

FlowLayout::~FlowLayout() {
  for (QLayoutItem* item : items_) delete item;
}

QLayoutItem* FlowLayout::itemAt(int index) const {
  return index >= 0 && index < count() ? items_[static_cast<std::size_t>(index)] : nullptr;
}

QLayoutItem* FlowLayout::takeAt(int index) {
  QLayoutItem* item = itemAt(index);
  if (item) items_.erase(items_.begin() + index);
  return item;
}

int FlowLayout::heightForWidth(int width) const { return arrange({0, 0, width, 0}, false); }

QSize FlowLayout::minimumSize() const {
  int height = 0;
  for (const QLayoutItem* item : items_) height = std::max(height, item->sizeHint().height());
  const QMargins margins = contentsMargins();
  return {1, height + margins.top() + margins.bottom()};
}

void FlowLayout::setGeometry(const QRect& rect) {
  QLayout::setGeometry(rect);
  arrange(rect, true);
}

int FlowLayout::arrange(const QRect& rect, bool move) const {
  const QRect inner = rect.marginsRemoved(contentsMargins());
  int x = inner.x(), y = inner.y(), line = 0;
  for (QLayoutItem* item : items_) {
    if (item->isEmpty()) continue;
    const QSize wanted = item->sizeHint();
    const int width = std::min(wanted.width(), std::max(inner.width(), 1));
    if (x > inner.x() && x + width > inner.right() + 1) {
      x = inner.x();
      y += line + gap_px_;
      line = 0;
    }
    if (move) item->setGeometry({x, y, width, wanted.height()});
    x += width + gap_px_;
    line = std::max(line, wanted.height());
  }
  return y + line - rect.y() + contentsMargins().bottom();
}

}  // namespace ditscope::gui
