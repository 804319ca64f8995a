#pragma once
#include <QWidget>
#include <optional>

#include "core/catalog/catalog.h"

class QLabel;
class QToolButton;

namespace ditscope::gui {

class InlineNumber;
class NumberField;
class Segments;
class ChoiceButton;
class Toggle;
class ValueSlider;

/// The control of one catalog parameter. What kind of control it is follows from the description alone.
class ParameterRow : public QWidget {
  Q_OBJECT
 public:
  explicit ParameterRow(const Parameter& parameter, QWidget* parent = nullptr);
  /// @param value     as the run will use it
  /// @param standard  the default at the current number of steps
  void show_value(const ParameterValue& value, const ParameterValue& standard);
  /// ▾ on the slider: the achieved kept ratio of the last run; only on ratios.
  void show_achieved(std::optional<double> kept_ratio, const QColor& colour);
  bool is_ratio() const { return parameter_.kind == ParameterKind::Ratio; }
  const std::string& key() const { return parameter_.key; }

 Q_SIGNALS:
  void changed(const ParameterValue& value);
  void reset();
  void gesture_ended();

 private:
  void build_number();
  void build_choice();
  void build_switch();
  void take_number(double shown);
  QWidget* make_name();
  Parameter parameter_;
  NumberField* field_ = nullptr;
  ValueSlider* slider_ = nullptr;
  InlineNumber *kept_ = nullptr, *skipped_ = nullptr;
  Segments* segments_ = nullptr;
  ChoiceButton* menu_ = nullptr;
  Toggle* toggle_ = nullptr;
  QLabel* sides_ = nullptr;
  QLabel* was_ = nullptr;
  QToolButton* reset_ = nullptr;
};

/// A number, whatever variant holds it.
double number_of(const ParameterValue& value);
/// "20.0" "3.1 %" "paper": a value as its control shows it.
QString value_text(const Parameter& parameter, const ParameterValue& value);

}  // namespace ditscope::gui
