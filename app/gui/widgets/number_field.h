#pragma once
#include <QFrame>
#include <QLineEdit>

class QLabel;
class QHBoxLayout;

namespace ditscope::gui {

/// A number with its unit in a field, as "30 steps" or "guidance 6.0". Up and down arrows step; what is out of range is marked
/// and not taken.
class NumberField : public QFrame {
  Q_OBJECT
 public:
  struct Range {
    double minimum = 0, maximum = 100, step = 1;
    int digits = 0;
  };
  explicit NumberField(const QString& name, QWidget* parent = nullptr);
  void set_range(const Range& range);
  void set_unit(const QString& unit);
  void set_prefix(const QString& prefix);
  void set_value(double value);  ///< without a signal; what is being typed stays
  double value() const { return value_; }
  QLineEdit* edit() const { return edit_; }
  void add_button(QWidget* button);

 Q_SIGNALS:
  void changed(double value);
  void finished();

 protected:
  bool eventFilter(QObject* watched, QEvent* event) override;

 private:
  void take_text();
  void fit_digits();
  void take(double value);
  QString text_of(double value) const;
  Range range_;
  double value_ = 0;
  QLineEdit* edit_;
  QLabel *unit_, *prefix_;
  QHBoxLayout* row_;
};

/// Text that can be typed into but looks like a caption: "kept 3.1 %".
class InlineNumber : public QLineEdit {
  Q_OBJECT
 public:
  InlineNumber(const QString& name, const QString& word, Qt::Alignment alignment, QWidget* parent = nullptr);
  void set_percent(double ratio);

 Q_SIGNALS:
  void entered(double ratio);

 private:
  void take_text();
  QString word_, shown_;
};

}  // namespace ditscope::gui
