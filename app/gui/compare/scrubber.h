#pragma once
#include <QWidget>
#include <vector>

namespace ditscope::gui {

/// The frames of the clip as bars of their PSNR; click or drag shows a frame. Without PSNR the bars are flat.
class Scrubber : public QWidget {
  Q_OBJECT
 public:
  explicit Scrubber(QWidget* parent = nullptr);
  void show_clip(int frames, const std::vector<double>& psnr_db);
  void show_frame(int frame);
  QSize sizeHint() const override;
  QSize minimumSizeHint() const override;

 Q_SIGNALS:
  void sought(int frame);

 protected:
  void paintEvent(QPaintEvent* event) override;
  void mousePressEvent(QMouseEvent* event) override;
  void mouseMoveEvent(QMouseEvent* event) override;
  void keyPressEvent(QKeyEvent* event) override;

 private:
  int frames_ = 0, frame_ = 0;
  std::vector<double> psnr_db_;
};

}  // namespace ditscope::gui
