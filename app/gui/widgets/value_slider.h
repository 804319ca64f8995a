#pragma once
#include <QAbstractSlider>
#include <optional>

namespace ditscope::gui {

/// A slider over real values, linear or logarithmic: a 3 px track, a tick at the default, ▾ at what was achieved.
class ValueSlider : public QAbstractSlider {
  Q_OBJECT
 public:
  explicit ValueSlider(const QString& name, QWidget* parent = nullptr);
  void set_range(double minimum, double maximum, double step, bool logarithmic);
  void set_value(double value);  ///< without a signal
  double real_value() const { return value_; }
  void set_default(std::optional<double> value);
  void set_achieved(std::optional<double> value, const QColor& colour);
  QSize sizeHint() const override;
  QSize minimumSizeHint() const override { return sizeHint(); }

 Q_SIGNALS:
  void moved(double value);
  void released();

 protected:
  void paintEvent(QPaintEvent* event) override;
  void mousePressEvent(QMouseEvent* event) override;
  void mouseMoveEvent(QMouseEvent* event) override;
  void mouseReleaseEvent(QMouseEvent* event) override;
  void keyPressEvent(QKeyEvent* event) override;
  void wheelEvent(QWheelEvent* event) override;

 private:
  double position_of(double value) const;  ///< 0..1
  double value_at(double position) const;
  double x_of(double value) const;
  void take(double value);
  double minimum_ = 0, maximum_ = 1, step_ = 0.01, value_ = 0;
  bool logarithmic_ = false;
  std::optional<double> default_, achieved_;
  QColor achieved_colour_;
};

}  // namespace ditscope::gui
