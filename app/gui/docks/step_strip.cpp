#include "app/gui/docks/step_strip.h"

#include <QHelpEvent>
#include <QPainter>
#include <QToolTip>
#include <algorithm>
#include <cmath>

#include "app/gui/style/style.h"
#include "app/gui/widgets/text_of.h"
#include "views/state/words.h"

namespace ditscope::gui {
namespace {

constexpr int kLabels_px = 84, kNumbers_px = 16, kRight_px = 12;
constexpr int kKept_px = 22, kSeconds_px = 28, kGap_px = 4;

}  // namespace

QImage image_of(const Frames& frames, int index) {
  QImage image(frames.width, frames.height, QImage::Format_RGB888);
  const float* source = frames.frame(index);
  for (int y = 0; y < frames.height; ++y) {
    unsigned char* line = image.scanLine(y);
    for (int i = 0; i < frames.width * 3; ++i) {
      line[i] = static_cast<unsigned char>(std::lround(std::clamp(*source++, 0.0f, 1.0f) * 255));
    }
  }
  return image;
}

StepStrip::StepStrip(QWidget* parent) : QWidget(parent) {
  setAccessibleName("Steps of the run");
  setMouseTracking(true);
}

QSize StepStrip::minimumSizeHint() const {
  const Style& style = Style::current();
  return {style.px(320), style.px(kNumbers_px + kKept_px + kSeconds_px + 3 * kGap_px + 24)};
}

void StepStrip::show_run(std::shared_ptr<const JobView> job, std::size_t run, int running_step) {
  if (!job || !job_ || job->job.id != job_->job.id) images_.clear();
  job_ = std::move(job);
  run_ = run;
  running_step_ = running_step;
  if (job_ && run_ < job_->runs.size()) {
    const RunView& view = *job_->runs[run_];
    setAccessibleDescription(QString("%1 of %2 steps done").arg(view.steps.size()).arg(view.total_steps));
  }
  update();
}

QRectF StepStrip::cell(int step, double top, double height) const {
  const Style& style = Style::current();
  const double left = style.px(kLabels_px), all = width() - left - style.px(kRight_px);
  const int steps = std::max(1, job_->runs[run_]->total_steps);
  const double first = std::round(left + all * step / steps), next = std::round(left + all * (step + 1) / steps);
  return {first, top, std::max(1.0, next - first - 1), height};
}

void StepStrip::paint_kept(QPainter& painter, const StepRecord& step, const QRectF& cell) const {
  const Style& style = Style::current();
  const bool hatched =
      step.kind == StepRecord::Kind::Full || step.kind == StepRecord::Kind::Refresh || step.kind == StepRecord::Kind::Search;
  if (hatched) {
    painter.fillRect(cell, style.colour("line"));
    painter.fillRect(cell, QBrush(style.colour("text3"), Qt::BDiagPattern));
    if (step.kind == StepRecord::Kind::Full) return;
    // A refresh carries a dot, a search a lens; the word where there is room.
    painter.setFont(style.words(10, QFont::DemiBold));
    const QString word = step.kind == StepRecord::Kind::Refresh ? "refresh" : "search";
    const QColor ground = style.colour("view");
    if (painter.fontMetrics().horizontalAdvance(word) + 2 < cell.width()) {
      painter.fillRect(QRectF(cell.x(), cell.center().y() - style.px(7), cell.width(), style.px(14)), ground);
      painter.setPen(style.colour("text"));
      painter.drawText(cell, Qt::AlignCenter, word);
    } else {
      const double radius = std::min(style.px(4) * 1.0, cell.width() / 2);
      painter.setRenderHint(QPainter::Antialiasing);
      painter.setPen(QPen(ground, 1));
      painter.setBrush(style.run_colour(static_cast<int>(run_)));
      painter.drawEllipse(cell.center(), radius, radius);
      painter.setRenderHint(QPainter::Antialiasing, false);
    }
    return;
  }
  painter.fillRect(cell, style.colour("view"));
  const QColor colour = style.run_colour(static_cast<int>(run_));
  if (step.kind == StepRecord::Kind::Cached) {
    painter.setPen(colour);
    painter.setBrush(Qt::NoBrush);
    painter.drawRect(QRectF(cell.center().x() - 4, cell.center().y() - 4, 8, 8));
    return;
  }
  const double height = std::max(2.0, cell.height() * std::clamp(step.kept_ratio_achieved, 0.0, 1.0));
  painter.fillRect(QRectF(cell.x(), cell.bottom() - height, cell.width(), height), colour);
}

void StepStrip::paint_seconds(QPainter& painter, const StepRecord& step, const QRectF& cell, double longest) const {
  const Style& style = Style::current();
  const bool sparse = step.kind == StepRecord::Kind::Sparse || step.kind == StepRecord::Kind::Cached;
  const double height = longest > 0 ? std::max(2.0, cell.height() * step.seconds / longest) : 2;
  const QRectF bar(cell.x(), cell.bottom() - height, cell.width(), height);
  painter.fillRect(cell, style.colour("view"));
  painter.fillRect(bar, sparse ? style.run_colour(static_cast<int>(run_)) : style.colour("edge"));
  painter.setFont(style.numbers(10));
  const QString text = QString::number(step.seconds, 'f', step.seconds < 9.995 ? 2 : 1);
  if (painter.fontMetrics().horizontalAdvance(text) + 2 > cell.width()) return;
  const bool inside = height > style.px(14);
  painter.setPen(inside ? style.colour(sparse ? "on_run" : "view") : style.colour("text2"));
  const double text_height = style.px(13);
  painter.drawText(QRectF(cell.x(), inside ? cell.bottom() - text_height : bar.top() - text_height, cell.width(), text_height),
                   Qt::AlignCenter, text);
}

QImage StepStrip::preview(std::size_t step, int height_px) const {
  const auto& previews = job_->runs[run_]->previews;
  if (step >= previews.size() || previews[step]->empty()) return {};
  const void* key = previews[step].get();
  auto found = images_.find(key);
  if (found == images_.end() || found->height() != height_px) {
    const Frames& frames = *previews[step];
    found = images_.insert(key, image_of(frames, frames.count / 2).scaledToHeight(height_px, Qt::SmoothTransformation));
  }
  return *found;
}

void StepStrip::paintEvent(QPaintEvent*) {
  const Style& style = Style::current();
  QPainter painter(this);
  const double kept = style.px(kNumbers_px), seconds = kept + style.px(kKept_px + kGap_px);
  const double previews = seconds + style.px(kSeconds_px + kGap_px);
  const double previews_height = std::max<double>(style.px(20), height() - previews - style.px(6));
  const auto label = [&](const QString& name, const QString& unit, double top, double height) {
    painter.setFont(style.words(12));
    painter.setPen(style.colour("text2"));
    painter.drawText(QRectF(style.px(2), top, style.px(kLabels_px - 8), height), Qt::AlignVCenter | Qt::AlignLeft, name);
    painter.setPen(style.colour("text3"));
    painter.setFont(style.words(11));
    painter.drawText(QRectF(style.px(2), top, style.px(kLabels_px - 8), height), Qt::AlignVCenter | Qt::AlignRight, unit);
  };
  label("Kept", "%", kept, style.px(kKept_px));
  label("Step", "s", seconds, style.px(kSeconds_px));
  label("x̂₀", "preview", previews, previews_height);
  if (!job_ || run_ >= job_->runs.size()) {
    painter.setPen(style.colour("text3"));
    painter.drawText(rect(), Qt::AlignCenter, "Nothing runs. Every step of the next run appears here.");
    return;
  }
  const RunView& run = *job_->runs[run_];
  double longest = 0;
  for (const StepRecord& step : run.steps) longest = std::max(longest, step.seconds);
  const int every = cell(0, 0, 1).width() < style.px(18) ? 5 : 1;
  for (int i = 0; i < run.total_steps; ++i) {
    const bool running = i == running_step_;
    const QRectF column = cell(i, 0, height());
    painter.setFont(style.numbers(11, running ? QFont::Bold : QFont::Normal));
    painter.setPen(running ? style.colour("text") : style.colour("text3"));
    if (i % every == 0 || running)
      painter.drawText(column.adjusted(-6, 0, 6, 0), Qt::AlignTop | Qt::AlignHCenter, QString::number(i));
    const QRectF kept_cell = cell(i, kept, style.px(kKept_px)), seconds_cell = cell(i, seconds, style.px(kSeconds_px));
    const QRectF preview_cell = cell(i, previews, previews_height);
    if (i < static_cast<int>(run.steps.size())) {
      paint_kept(painter, run.steps[static_cast<std::size_t>(i)], kept_cell);
      paint_seconds(painter, run.steps[static_cast<std::size_t>(i)], seconds_cell, longest);
      painter.fillRect(preview_cell, style.colour("view"));
      const QImage image = preview(static_cast<std::size_t>(i), static_cast<int>(previews_height));
      if (!image.isNull()) {
        // The middle of the preview where the cell is narrower.
        const double shown = std::min<double>(image.width(), preview_cell.width());
        painter.drawImage(QPointF(preview_cell.center().x() - shown / 2, preview_cell.y()), image,
                          QRectF((image.width() - shown) / 2, 0, shown, image.height()));
      }
    } else {
      for (const QRectF& empty : {kept_cell, seconds_cell, preview_cell}) painter.fillRect(empty, style.colour("view"));
    }
  }
  if (run.previews.empty() && running_step_ < 0) {
    painter.setFont(style.words(11));
    painter.setPen(style.colour("text3"));
    painter.drawText(QRectF(style.px(kLabels_px + 8), previews, width(), previews_height), Qt::AlignVCenter,
                     "Previews of the steps are not kept in the history.");
  }
  if (running_step_ >= 0 && running_step_ < run.total_steps) {
    painter.setPen(QPen(style.colour("accent"), 2));
    painter.setBrush(Qt::NoBrush);
    painter.drawRect(cell(running_step_, 1, height() - 3).adjusted(-1, 0, 2, 0));
  }
}

bool StepStrip::event(QEvent* event) {
  if (event->type() == QEvent::ToolTip && job_ && run_ < job_->runs.size()) {
    const auto* help = static_cast<QHelpEvent*>(event);
    for (const StepRecord& step : job_->runs[run_]->steps) {
      if (!cell(step.index, 0, height()).contains(help->pos())) continue;
      QToolTip::showText(
          help->globalPos(),
          QString("step %1, %2\nt = %3\n%4, asked %5\n%6, attention %7")
              .arg(step.index)
              .arg(step_kind_name(step.kind))
              .arg(step.timestep, 0, 'f', 0)
              .arg(text_of(views::kept_text(step.kept_ratio_achieved)), text_of(views::percent_text(step.kept_ratio_requested)),
                   text_of(views::seconds_text(step.seconds)), text_of(views::seconds_text(step.attention_seconds))),
          this);
      return true;
    }
  }
  return QWidget::event(event);
}

}  // namespace ditscope::gui
