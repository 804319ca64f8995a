#pragma once
#include <QWidget>
#include <memory>
#include <vector>

#include "app/gui/worker/job.h"

namespace ditscope::gui {

/// Difference over time: PSNR of every run against A per frame, and how much each run changes from frame to frame.
class TimePlot : public QWidget {
  Q_OBJECT
 public:
  explicit TimePlot(QWidget* parent = nullptr);
  void show_job(std::shared_ptr<const JobView> job);
  void show_frame(int frame);

 Q_SIGNALS:
  void sought(int frame);

 protected:
  void paintEvent(QPaintEvent* event) override;
  void mousePressEvent(QMouseEvent* event) override;
  void mouseMoveEvent(QMouseEvent* event) override;
  void keyPressEvent(QKeyEvent* event) override;

 private:
  struct Curve {
    int run = 0;
    QString name;
    std::vector<double> values;
    int first = 0;  ///< frame of the first value that counts
  };
  struct Axis {
    QString title, unit;
    double low = 0, high = 1;
    int digits = 0;
  };
  void paint_plot(QPainter& painter, const QRectF& area, const Axis& axis, const std::vector<Curve>& curves, bool bands) const;
  double x_of(double frame) const;
  std::shared_ptr<const JobView> job_;
  std::vector<Curve> psnr_, change_;
  bool from_video_ = false;
  int frames_ = 0, frame_ = 0;
};

}  // namespace ditscope::gui
