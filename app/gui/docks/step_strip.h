#pragma once
#include <QHash>
#include <QImage>
#include <QWidget>
#include <memory>

#include "app/gui/worker/job.h"

namespace ditscope::gui {

/// The steps of one run, left to right: what each kept, what it took, and the predicted clean video after it.
class StepStrip : public QWidget {
  Q_OBJECT
 public:
  explicit StepStrip(QWidget* parent = nullptr);
  void show_run(std::shared_ptr<const JobView> job, std::size_t run, int running_step);
  QSize minimumSizeHint() const override;

 protected:
  void paintEvent(QPaintEvent* event) override;
  bool event(QEvent* event) override;

 private:
  QRectF cell(int step, double top, double height) const;
  void paint_kept(QPainter& painter, const StepRecord& step, const QRectF& cell) const;
  void paint_seconds(QPainter& painter, const StepRecord& step, const QRectF& cell, double longest) const;
  QImage preview(std::size_t step, int height_px) const;
  std::shared_ptr<const JobView> job_;
  std::size_t run_ = 0;
  int running_step_ = -1;
  mutable QHash<const void*, QImage> images_;
};

/// A frame as an image, 8 bits a channel.
QImage image_of(const Frames& frames, int index);

}  // namespace ditscope::gui
