#include "app/gui/compare/time_plot.h"

#include <QKeyEvent>
#include <QMouseEvent>
#include <QPainter>
#include <algorithm>

#include "app/gui/style/style.h"
#include "views/state/temporal.h"
#include "views/state/words.h"

namespace ditscope::gui {
namespace {

constexpr int kLeft_px = 64, kRight_px = 150, kTop_px = 30, kBottom_px = 26;

QString name_of(const MethodChoice& method) {
  for (const MethodEntry& entry : methods()) {
    if (entry.key == method.key) return QString::fromStdString(entry.name);
  }
  return QString::fromStdString(method.key);
}

/// Runs differ by line as well as by colour: solid, solid, dashed, dotted.
Qt::PenStyle line_of(int run) {
  return run == 2 ? Qt::DashLine : run == 3 ? Qt::DotLine : Qt::SolidLine;
}

}  // namespace

TimePlot::TimePlot(QWidget* parent) : QWidget(parent) {
  setAccessibleName("Difference over time");
  setFocusPolicy(Qt::StrongFocus);
  setMinimumHeight(Style::current().px(160));
}

void TimePlot::show_job(std::shared_ptr<const JobView> job) {
  if (job == job_) return;
  job_ = std::move(job);
  psnr_.clear();
  change_.clear();
  frames_ = 0;
  from_video_ = false;
  for (std::size_t i = 0; job_ && i < job_->runs.size(); ++i) {
    const RunView& run = *job_->runs[i];
    if (run.metrics) psnr_.push_back({static_cast<int>(i), name_of(run.method), run.metrics->psnr_per_frame, 0});
    if (run.metrics && run.metrics->frames_from_video) from_video_ = true;
    if (!run.result || run.result->frames.empty()) continue;
    change_.push_back({static_cast<int>(i), name_of(run.method), views::temporal_change(run.result->frames), 1});
    frames_ = std::max(frames_, run.result->frames.count);
  }
  update();
}

void TimePlot::show_frame(int frame) {
  frame_ = frame;
  if (isVisible()) update();
}

double TimePlot::x_of(double frame) const {
  const Style& style = Style::current();
  const double left = style.px(kLeft_px), all = width() - left - style.px(kRight_px);
  return left + all * frame / std::max(1, frames_ - 1);
}

void TimePlot::paint_plot(QPainter& painter, const QRectF& area, const Axis& axis, const std::vector<Curve>& curves,
                          bool bands) const {
  const Style& style = Style::current();
  const auto y_of = [&](double value) {
    return area.bottom() - area.height() * (std::clamp(value, axis.low, axis.high) - axis.low) / (axis.high - axis.low);
  };
  painter.fillRect(area, style.colour("view"));
  painter.setFont(style.words(12, QFont::DemiBold));
  painter.setPen(style.colour("text"));
  painter.drawText(QRectF(area.left(), area.top() - style.px(22), area.width(), style.px(18)), Qt::AlignVCenter, axis.title);
  painter.setFont(style.numbers(11));
  for (const double tick : views::ticks(axis.low, axis.high, 5)) {
    painter.setPen(style.colour("line"));
    painter.drawLine(QPointF(area.left(), y_of(tick)), QPointF(area.right(), y_of(tick)));
    painter.setPen(style.colour("text3"));
    painter.drawText(QRectF(0, y_of(tick) - 10, area.left() - style.px(8), 20), Qt::AlignRight | Qt::AlignVCenter,
                     QString::number(tick, 'f', axis.digits) + " " + axis.unit);
  }
  if (bands) {
    painter.setFont(style.words(11));
    for (const auto& [db, name] : {std::pair{30.0, "near-identical"}, std::pair{25.0, "close"}, std::pair{20.0, "visible"}}) {
      if (db < axis.low || db > axis.high) continue;
      painter.setPen(QPen(style.colour("text3"), 1, Qt::DotLine));
      painter.drawLine(QPointF(area.left(), y_of(db)), QPointF(area.right(), y_of(db)));
      painter.setPen(style.colour("text3"));
      painter.drawText(QPointF(area.left() + style.px(6), y_of(db) - style.px(3)), QString("%1 from here up").arg(name));
    }
  }
  double legend = area.top();
  for (const Curve& curve : curves) {
    QPolygonF line;
    for (std::size_t i = static_cast<std::size_t>(curve.first); i < curve.values.size(); ++i) {
      line << QPointF(x_of(static_cast<double>(i)), y_of(curve.values[i]));
    }
    painter.setRenderHint(QPainter::Antialiasing);
    painter.setPen(QPen(style.run_colour(curve.run), style.px(2), line_of(curve.run)));
    painter.drawPolyline(line);
    painter.setRenderHint(QPainter::Antialiasing, false);
    // The legend stands beside the data, with the value under the cursor.
    const double left = area.right() + style.px(12), row = style.px(18);
    painter.drawLine(QPointF(left, legend + row / 2), QPointF(left + style.px(16), legend + row / 2));
    painter.setFont(style.words(12));
    painter.setPen(style.colour("text"));
    painter.drawText(QRectF(left + style.px(22), legend, style.px(kRight_px), row), Qt::AlignVCenter,
                     QString("%1 %2").arg(QChar('A' + curve.run)).arg(curve.name));
    legend += row;
    if (frame_ >= curve.first && frame_ < static_cast<int>(curve.values.size())) {
      painter.setFont(style.numbers(12));
      painter.setPen(style.colour("text2"));
      painter.drawText(
          QRectF(left + style.px(22), legend, style.px(kRight_px), row), Qt::AlignVCenter,
          QString::number(curve.values[static_cast<std::size_t>(frame_)], 'f', std::max(1, axis.digits)) + " " + axis.unit);
      legend += row;
    }
  }
  painter.setPen(QPen(style.colour("accent"), 2));
  painter.drawLine(QPointF(x_of(frame_), area.top()), QPointF(x_of(frame_), area.bottom()));
}

void TimePlot::paintEvent(QPaintEvent*) {
  const Style& style = Style::current();
  QPainter painter(this);
  if (change_.empty()) {
    painter.setPen(style.colour("text2"));
    painter.drawText(rect(), Qt::AlignCenter, "No decoded run is shown. Generate a pair, or open one from the history.");
    return;
  }
  const double left = style.px(kLeft_px), across = width() - left - style.px(kRight_px);
  const double each = (height() - style.px(kBottom_px)) / 2.0;
  const QRectF upper(left, style.px(kTop_px), across, each - style.px(kTop_px) - style.px(4));
  const QRectF lower(left, each + style.px(kTop_px), across, each - style.px(kTop_px) - style.px(4));
  const QString origin = from_video_ ? ", measured on the stored videos" : "";
  if (psnr_.empty()) {
    painter.setPen(style.colour("text2"));
    painter.drawText(upper, Qt::AlignCenter, "One run alone has nothing to be compared with.");
  } else {
    // A fixed scale, so that curves of different runs compare; wider only where values leave it.
    double low = 10, high = 40;
    for (const Curve& curve : psnr_) {
      for (const double value : curve.values) {
        low = std::min(low, value);
        high = std::max(high, value);
      }
    }
    paint_plot(painter, upper, {"PSNR against A" + origin, "dB", low, high, 0}, psnr_, true);
  }
  double most = 0.01;
  for (const Curve& curve : change_) {
    for (const double value : curve.values) most = std::max(most, value);
  }
  paint_plot(
      painter, lower, {"Change from the former frame, mean over pixels: motion and flicker", "%", 0, most * 100, 1},
      [&] {
        std::vector<Curve> percent = change_;
        for (Curve& curve : percent) {
          for (double& value : curve.values) value *= 100;
        }
        return percent;
      }(),
      false);
  painter.setFont(style.numbers(11));
  painter.setPen(style.colour("text3"));
  for (const double tick : views::ticks(0, frames_ - 1, 12)) {
    painter.drawText(QRectF(x_of(tick) - 20, height() - style.px(kBottom_px), 40, style.px(16)), Qt::AlignCenter,
                     QString::number(tick, 'f', 0));
  }
  painter.setFont(style.words(12));
  painter.drawText(QRectF(left + across + style.px(12), height() - style.px(kBottom_px), style.px(100), style.px(16)),
                   Qt::AlignVCenter, "frame");
}

void TimePlot::mousePressEvent(QMouseEvent* event) {
  mouseMoveEvent(event);
}

void TimePlot::mouseMoveEvent(QMouseEvent* event) {
  if (!(event->buttons() & Qt::LeftButton) || frames_ < 2) return;
  const double left = x_of(0), right = x_of(frames_ - 1);
  const double at = (event->position().x() - left) / std::max(1.0, right - left) * (frames_ - 1);
  Q_EMIT sought(std::clamp(static_cast<int>(at + 0.5), 0, frames_ - 1));
}

void TimePlot::keyPressEvent(QKeyEvent* event) {
  if ((event->key() == Qt::Key_Left || event->key() == Qt::Key_Right) && frames_ > 0) {
    Q_EMIT sought(std::clamp(frame_ + (event->key() == Qt::Key_Right ? 1 : -1), 0, frames_ - 1));
    return;
  }
  QWidget::keyPressEvent(event);
}

}  // namespace ditscope::gui
