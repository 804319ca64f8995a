#include "app/gui/widgets/value_slider.h"

#include <QMouseEvent>
#include <QPainter>
#include <algorithm>
#include <cmath>

#include "app/gui/style/style.h"

namespace ditscope::gui {
namespace {

constexpr int kTicks = 1000;  // of QAbstractSlider, which screen readers ask

}  // namespace

ValueSlider::ValueSlider(const QString& name, QWidget* parent) : QAbstractSlider(parent) {
  setOrientation(Qt::Horizontal);
  setAccessibleName(name);
  setFocusPolicy(Qt::StrongFocus);
  setRange(0, kTicks);
  setSizePolicy(QSizePolicy::Expanding, QSizePolicy::Fixed);
}

void ValueSlider::set_range(double minimum, double maximum, double step, bool logarithmic) {
  minimum_ = minimum;
  maximum_ = maximum;
  step_ = step > 0 ? step : (maximum - minimum) / 100;
  logarithmic_ = logarithmic && minimum > 0;
  update();
}

void ValueSlider::set_value(double value) {
  value_ = std::clamp(value, minimum_, maximum_);
  setValue(static_cast<int>(std::lround(position_of(value_) * kTicks)));
  update();
}

void ValueSlider::set_default(std::optional<double> value) {
  default_ = value;
  update();
}

void ValueSlider::set_achieved(std::optional<double> value, const QColor& colour) {
  achieved_ = value;
  achieved_colour_ = colour;
  update();
}

QSize ValueSlider::sizeHint() const {
  return {Style::current().px(80), Style::current().px(20)};
}

double ValueSlider::position_of(double value) const {
  if (maximum_ <= minimum_) return 0;
  if (logarithmic_) return std::log(std::max(value, minimum_) / minimum_) / std::log(maximum_ / minimum_);
  return (value - minimum_) / (maximum_ - minimum_);
}

double ValueSlider::value_at(double position) const {
  position = std::clamp(position, 0.0, 1.0);
  if (logarithmic_) return minimum_ * std::pow(maximum_ / minimum_, position);
  const double raw = minimum_ + position * (maximum_ - minimum_);
  return std::clamp(std::round((raw - minimum_) / step_) * step_ + minimum_, minimum_, maximum_);
}

double ValueSlider::x_of(double value) const {
  const double radius = Style::current().px(5);
  return radius + std::clamp(position_of(value), 0.0, 1.0) * (width() - 2 * radius);
}

void ValueSlider::paintEvent(QPaintEvent*) {
  const Style& style = Style::current();
  QPainter painter(this);
  painter.setRenderHint(QPainter::Antialiasing);
  const double middle = height() / 2.0 + style.px(2), knob = x_of(value_);
  painter.setPen(Qt::NoPen);
  painter.setBrush(style.colour("raised"));
  painter.drawRoundedRect(QRectF(0, middle - 1.5, width(), 3), 1.5, 1.5);
  painter.setBrush(style.colour("accent"));
  painter.drawRoundedRect(QRectF(0, middle - 1.5, knob, 3), 1.5, 1.5);
  if (default_) {
    painter.setBrush(style.colour("edge"));
    painter.drawRect(QRectF(x_of(*default_) - 0.5, middle - style.px(5), 1, style.px(10)));
  }
  if (achieved_) {
    const double x = x_of(*achieved_), top = middle - style.px(10), half = style.px(4);
    painter.setBrush(achieved_colour_);
    painter.drawPolygon(QPolygonF({{x - half, top}, {x + half, top}, {x, top + half}}));
  }
  const double radius = style.px(5);
  if (hasFocus()) {
    painter.setBrush(style.colour("accent"));
    painter.drawEllipse(QPointF(knob, middle), radius + 2, radius + 2);
  }
  painter.setBrush(style.colour("text"));
  painter.drawEllipse(QPointF(knob, middle), radius, radius);
}

void ValueSlider::take(double value) {
  const double former = value_;
  set_value(value);
  if (value_ != former) Q_EMIT moved(value_);
}

void ValueSlider::mousePressEvent(QMouseEvent* event) {
  if (event->button() == Qt::LeftButton) mouseMoveEvent(event);
}

void ValueSlider::mouseMoveEvent(QMouseEvent* event) {
  if (!(event->buttons() & Qt::LeftButton)) return;
  const double radius = Style::current().px(5);
  take(value_at((event->position().x() - radius) / std::max(1.0, width() - 2 * radius)));
}

void ValueSlider::mouseReleaseEvent(QMouseEvent*) {
  Q_EMIT released();
}

void ValueSlider::keyPressEvent(QKeyEvent* event) {
  const auto stepped = [&](int direction, int count) {
    if (logarithmic_) return value_ * std::pow(2.0, direction * count / 8.0);
    return value_ + direction * count * step_;
  };
  switch (event->key()) {
    case Qt::Key_Right:
    case Qt::Key_Up:
      take(stepped(1, 1));
      break;
    case Qt::Key_Left:
    case Qt::Key_Down:
      take(stepped(-1, 1));
      break;
    case Qt::Key_PageUp:
      take(stepped(1, 5));
      break;
    case Qt::Key_PageDown:
      take(stepped(-1, 5));
      break;
    case Qt::Key_Home:
      take(minimum_);
      break;
    case Qt::Key_End:
      take(maximum_);
      break;
    default:
      QAbstractSlider::keyPressEvent(event);
      return;
  }
  Q_EMIT released();
}

// A wheel that scrolls the panel must not change what lies under the mouse.
void ValueSlider::wheelEvent(QWheelEvent* event) {
  event->ignore();
}

}  // namespace ditscope::gui
