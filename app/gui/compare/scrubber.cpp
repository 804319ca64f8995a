#include "app/gui/compare/scrubber.h"

#include <QKeyEvent>
#include <QMouseEvent>
#include <QPainter>
#include <algorithm>
#include <cmath>

#include "app/gui/style/style.h"

namespace ditscope::gui {
namespace {

// The scale of the bars: 10 dB is empty, 40 dB is full. It never moves, so bars of different runs compare.
constexpr double kLow_db = 10, kHigh_db = 40;

}  // namespace

Scrubber::Scrubber(QWidget* parent) : QWidget(parent) {
  setFocusPolicy(Qt::StrongFocus);
  setAccessibleName("Frame");
  setToolTip("PSNR per frame, bars from 10 to 40 dB. Click or drag shows a frame.");
  setSizePolicy(QSizePolicy::Expanding, QSizePolicy::Fixed);
}

QSize Scrubber::sizeHint() const {
  return {Style::current().px(400), Style::current().px(32)};
}
QSize Scrubber::minimumSizeHint() const {
  return {Style::current().px(120), Style::current().px(32)};
}

void Scrubber::show_clip(int frames, const std::vector<double>& psnr_db) {
  frames_ = frames;
  psnr_db_ = psnr_db;
  update();
}

void Scrubber::show_frame(int frame) {
  frame_ = frame;
  setAccessibleDescription(QString("frame %1 of %2").arg(frame).arg(std::max(0, frames_ - 1)));
  update();
}

void Scrubber::paintEvent(QPaintEvent*) {
  const Style& style = Style::current();
  QPainter painter(this);
  const int ticks = style.px(12), bars = height() - ticks;
  painter.fillRect(QRect(0, 0, width(), bars), style.colour("view"));
  if (frames_ <= 0) return;
  const double each = static_cast<double>(width()) / frames_;
  painter.setFont(style.numbers(10));
  const int label_every = std::max(1, static_cast<int>(std::ceil(style.px(34) / each / 4)) * 4);
  for (int i = 0; i < frames_; ++i) {
    double part = 0.35;
    if (i < static_cast<int>(psnr_db_.size())) {
      part = std::clamp((psnr_db_[static_cast<std::size_t>(i)] - kLow_db) / (kHigh_db - kLow_db), 0.04, 1.0);
    }
    const double left = std::round(i * each), right = std::round((i + 1) * each) - 1;
    painter.fillRect(QRectF(left, bars * (1 - part), std::max(1.0, right - left), bars * part),
                     i == frame_ ? style.colour("accent") : style.colour("edge"));
    if (i == frame_) painter.fillRect(QRectF((left + right) / 2 - 1, 0, 2, bars), style.colour("accent"));
    if (i % label_every == 0) {
      painter.setPen(style.colour("text3"));
      painter.drawText(QRectF(left - 20, bars, right - left + 40, ticks), Qt::AlignHCenter | Qt::AlignBottom, QString::number(i));
    }
  }
  if (hasFocus()) {
    painter.setPen(QPen(style.colour("accent"), 1));
    painter.setBrush(Qt::NoBrush);
    painter.drawRect(QRectF(0.5, 0.5, width() - 1, bars - 1));
  }
}

void Scrubber::mousePressEvent(QMouseEvent* event) {
  mouseMoveEvent(event);
}

void Scrubber::mouseMoveEvent(QMouseEvent* event) {
  if (!(event->buttons() & Qt::LeftButton) || frames_ <= 0) return;
  const int frame = static_cast<int>(event->position().x() * frames_ / std::max(1, width()));
  Q_EMIT sought(std::clamp(frame, 0, frames_ - 1));
}

void Scrubber::keyPressEvent(QKeyEvent* event) {
  if (event->key() == Qt::Key_Left || event->key() == Qt::Key_Right) {
    Q_EMIT sought(std::clamp(frame_ + (event->key() == Qt::Key_Right ? 1 : -1), 0, std::max(0, frames_ - 1)));
    return;
  }
  QWidget::keyPressEvent(event);
}

}  // namespace ditscope::gui
