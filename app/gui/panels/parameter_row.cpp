#include "app/gui/panels/parameter_row.h"

#include <QBoxLayout>
#include <QLabel>
#include <cmath>

#include "app/gui/style/style.h"
#include "app/gui/widgets/basics.h"
#include "app/gui/widgets/number_field.h"
#include "app/gui/widgets/text_of.h"
#include "app/gui/widgets/value_slider.h"
#include "views/state/words.h"

namespace ditscope::gui {
namespace {

/// Digits after the point that tell neighbouring steps apart.
int digits_of(double step) {
  return step >= 1 || step <= 0 ? 0 : static_cast<int>(std::ceil(-std::log10(step) - 1e-9));
}

}  // namespace

double number_of(const ParameterValue& value) {
  if (const auto* real = std::get_if<double>(&value)) return *real;
  if (const auto* integer = std::get_if<std::int64_t>(&value)) return static_cast<double>(*integer);
  if (const auto* on = std::get_if<bool>(&value)) return *on ? 1 : 0;
  return 0;
}

QString value_text(const Parameter& parameter, const ParameterValue& value) {
  switch (parameter.kind) {
    case ParameterKind::Ratio:
      return text_of(views::percent_text(number_of(value)));
    case ParameterKind::Integer:
      return QString::number(static_cast<qlonglong>(number_of(value)));
    case ParameterKind::Real:
      return QString::number(number_of(value), 'f', std::max(1, digits_of(parameter.step)));
    case ParameterKind::Switch:
      return text_of(number_of(value) != 0 ? parameter.on_label : parameter.off_label);
    case ParameterKind::Choice:
      if (const auto* text = std::get_if<std::string>(&value)) return text_of(*text);
  }
  return {};
}

ParameterRow::ParameterRow(const Parameter& parameter, QWidget* parent) : QWidget(parent), parameter_(parameter) {
  setAccessibleName(text_of(parameter.label));
  setToolTip(
      tooltip_text(text_of(parameter.label), text_of(parameter.help), text_of(parameter.formula), text_of(parameter.source)));
  was_ = make_label("", "ticks", this);
  reset_ = make_icon_button("undo", text_of("Reset " + parameter.label), "text3");
  reset_->setParent(this);
  connect(reset_, &QToolButton::clicked, this, &ParameterRow::reset);
  auto* layout = new QVBoxLayout(this);
  layout->setContentsMargins(0, 0, 0, 0);
  layout->setSpacing(0);
  switch (parameter_.kind) {
    case ParameterKind::Ratio:
    case ParameterKind::Integer:
    case ParameterKind::Real:
      build_number();
      break;
    case ParameterKind::Choice:
      build_choice();
      break;
    case ParameterKind::Switch:
      build_switch();
      break;
  }
}

QWidget* ParameterRow::make_name() {
  auto* name = make_label(text_of(parameter_.label), "text2");
  name->setSizePolicy(QSizePolicy::Ignored, QSizePolicy::Preferred);
  return name;
}

void ParameterRow::build_number() {
  const bool ratio = is_ratio();
  auto* line = new QHBoxLayout;
  line->setSpacing(Style::current().px(4));
  line->addWidget(make_name(), 1);
  line->addWidget(was_);
  line->addWidget(reset_);
  field_ = new NumberField(text_of(parameter_.label), this);
  const double unit = ratio ? 100 : 1;
  const int digits = ratio ? 1 : parameter_.kind == ParameterKind::Integer ? 0 : std::max(1, digits_of(parameter_.step));
  field_->set_range({parameter_.minimum * unit, parameter_.maximum * unit, ratio ? 0.1 : parameter_.step, digits});
  field_->set_unit(ratio ? "%" : text_of(parameter_.unit));
  field_->setSizePolicy(QSizePolicy::Maximum, QSizePolicy::Fixed);
  if (!ratio && parameter_.unit.empty()) field_->setFixedWidth(Style::current().px(64));
  line->addWidget(field_);
  auto* layout = static_cast<QVBoxLayout*>(this->layout());
  layout->addLayout(line);

  slider_ = new ValueSlider(text_of(parameter_.label), this);
  slider_->set_range(parameter_.minimum, parameter_.maximum, parameter_.step, parameter_.logarithmic);
  layout->addWidget(slider_);
  connect(field_, &NumberField::changed, this, [this, unit](double value) { take_number(value / unit); });
  connect(field_, &NumberField::finished, this, &ParameterRow::gesture_ended);
  connect(slider_, &ValueSlider::moved, this, &ParameterRow::take_number);
  connect(slider_, &ValueSlider::released, this, &ParameterRow::gesture_ended);
  if (!ratio) return;
  auto* both = new QHBoxLayout;
  kept_ = new InlineNumber("Kept, percent", "kept", Qt::AlignLeft, this);
  skipped_ = new InlineNumber("Skipped, percent", "skipped", Qt::AlignRight, this);
  both->addWidget(kept_);
  both->addWidget(skipped_);
  layout->addLayout(both);
  connect(kept_, &InlineNumber::entered, this, &ParameterRow::take_number);
  connect(skipped_, &InlineNumber::entered, this, [this](double skipped) { take_number(1 - skipped); });
}

void ParameterRow::build_choice() {
  auto* line = new QHBoxLayout;
  line->addWidget(make_name(), 1);
  line->addWidget(was_);
  line->addWidget(reset_);
  if (parameter_.choices.size() <= 3) {
    segments_ = new Segments(text_of(parameter_.label), this);
    QStringList names;
    for (const auto& choice : parameter_.choices) names << text_of(choice);
    segments_->set_items(names);
    line->addWidget(segments_);
    connect(segments_, &Segments::chosen, this,
            [this](int index) { Q_EMIT changed(parameter_.choices[static_cast<std::size_t>(index)]); });
  } else {
    menu_ = new ChoiceButton(text_of(parameter_.label), this);
    std::vector<ChoiceButton::Item> items;
    for (const auto& choice : parameter_.choices) {
      items.push_back({text_of(choice), "", [this, choice] { Q_EMIT changed(choice); }, true, false, ""});
    }
    menu_->set_items(std::move(items));
    line->addWidget(menu_);
  }
  static_cast<QVBoxLayout*>(layout())->addLayout(line);
}

void ParameterRow::build_switch() {
  auto* line = new QHBoxLayout;
  line->setSpacing(Style::current().px(6));
  line->addWidget(make_label(text_of(parameter_.label), "text2"));
  const QString on = text_of(parameter_.on_label), off = text_of(parameter_.off_label);
  // Both sides are named; "on" and "off" would only repeat the switch.
  sides_ = make_label(on == "on" ? QString() : QString("%1 on, %2 off").arg(on, off), "ticks");
  line->addWidget(sides_, 1);
  line->addWidget(reset_);
  toggle_ = new Toggle(text_of(parameter_.label), this);
  line->addWidget(toggle_);
  was_->hide();
  static_cast<QVBoxLayout*>(layout())->addLayout(line);
  connect(toggle_, &QAbstractButton::clicked, this, [this](bool on) { Q_EMIT changed(on); });
}

void ParameterRow::take_number(double value) {
  value = std::clamp(value, parameter_.minimum, parameter_.maximum);
  if (parameter_.kind == ParameterKind::Integer) {
    Q_EMIT changed(static_cast<std::int64_t>(std::lround(value)));
  } else {
    Q_EMIT changed(value);
  }
}

void ParameterRow::show_value(const ParameterValue& value, const ParameterValue& standard) {
  const bool is_default = value_text(parameter_, value) == value_text(parameter_, standard);
  reset_->setVisible(!is_default);
  was_->setVisible(!is_default && !toggle_);
  was_->setText("was " + value_text(parameter_, standard));
  if (field_) {
    field_->set_value(number_of(value) * (is_ratio() ? 100 : 1));
    slider_->set_value(number_of(value));
    slider_->set_default(number_of(standard));
    slider_->setAccessibleDescription(value_text(parameter_, value) + " " + text_of(parameter_.unit));
  }
  if (kept_) {
    kept_->set_percent(number_of(value));
    skipped_->set_percent(1 - number_of(value));
  }
  if (toggle_) toggle_->setChecked(number_of(value) != 0);
  const auto* text = std::get_if<std::string>(&value);
  if (segments_ && text) {
    for (std::size_t i = 0; i < parameter_.choices.size(); ++i) {
      if (parameter_.choices[i] == *text) segments_->set_current(static_cast<int>(i));
    }
  }
  if (menu_ && text) menu_->set_shown(text_of(*text));
}

void ParameterRow::show_achieved(std::optional<double> kept_ratio, const QColor& colour) {
  if (is_ratio() && slider_) slider_->set_achieved(kept_ratio, colour);
}

}  // namespace ditscope::gui
