#include "app/gui/widgets/number_field.h"

#include <QHBoxLayout>
#include <QKeyEvent>
#include <QLabel>
#include <QRegularExpression>
#include <QStyle>
#include <algorithm>
#include <cmath>

#include "app/gui/style/style.h"
#include "app/gui/widgets/basics.h"
#include "views/state/words.h"

namespace ditscope::gui {
namespace {

/// The first number in a text; comma or point.
std::optional<double> first_number(const QString& text) {
  static const QRegularExpression pattern("[-+]?\\d+(?:[.,]\\d+)?(?:[eE][-+]?\\d+)?");
  const auto match = pattern.match(text);
  if (!match.hasMatch()) return {};
  return match.captured().replace(',', '.').toDouble();
}

void set_flag(QWidget* widget, const char* name, bool on) {
  widget->setProperty(name, on ? "true" : "false");
  widget->style()->unpolish(widget);
  widget->style()->polish(widget);
}

}  // namespace

NumberField::NumberField(const QString& name, QWidget* parent)
    : QFrame(parent),
      edit_(new QLineEdit(this)),
      unit_(make_label("", "", this)),
      prefix_(make_label("", "", this)),
      row_(new QHBoxLayout(this)) {
  setObjectName("field");
  const Style& style = Style::current();
  row_->setContentsMargins(style.px(8), 0, style.px(6), 0);
  row_->setSpacing(style.px(3));
  unit_->setFont(style.words(13));
  prefix_->setFont(style.words(13));
  edit_->setProperty("kind", "bare");
  edit_->setAccessibleName(name);
  setFocusProxy(edit_);
  row_->addWidget(prefix_);
  row_->addWidget(edit_, 1);
  row_->addWidget(unit_);
  prefix_->hide();
  unit_->hide();
  setFixedHeight(style.px(26));
  edit_->installEventFilter(this);
  connect(edit_, &QLineEdit::textChanged, this, &NumberField::fit_digits);
  connect(edit_, &QLineEdit::textEdited, this, [this] {
    const auto number = first_number(edit_->text());
    set_flag(this, "wrong", !number || *number < range_.minimum || *number > range_.maximum);
  });
  connect(edit_, &QLineEdit::editingFinished, this, &NumberField::take_text);
}

void NumberField::set_range(const Range& range) {
  range_ = range;
  edit_->setToolTip(QString("%1 to %2").arg(text_of(range.minimum), text_of(range.maximum)));
}

void NumberField::set_unit(const QString& unit) {
  unit_->setText(unit);
  unit_->setVisible(!unit.isEmpty());
  if (!unit.isEmpty()) {
    // The unit stands beside the digits, not at the far side of the field.
    row_->setStretch(1, 0);
    row_->setStretch(2, 1);
    fit_digits();
  }
}

void NumberField::fit_digits() {
  if (unit_->text().isEmpty()) return;
  const QFontMetrics metrics(Style::current().numbers(12));
  edit_->setFixedWidth(metrics.horizontalAdvance(edit_->text().isEmpty() ? QString("0") : edit_->text()) +
                       Style::current().px(6));
}

void NumberField::set_prefix(const QString& prefix) {
  prefix_->setText(prefix);
  prefix_->setVisible(!prefix.isEmpty());
}

QString NumberField::text_of(double value) const {
  return QString::number(value, 'f', range_.digits);
}

void NumberField::set_value(double value) {
  value_ = value;
  if (edit_->hasFocus() && edit_->isModified()) return;
  edit_->setText(text_of(value));
  set_flag(this, "wrong", false);
}

void NumberField::add_button(QWidget* button) {
  row_->addWidget(button);
}

void NumberField::take(double value) {
  const double scale = std::pow(10.0, range_.digits);
  const double rounded = std::round(std::clamp(value, range_.minimum, range_.maximum) * scale) / scale;
  edit_->setModified(false);
  const bool differs = std::fabs(rounded - value_) > 1e-12;
  set_value(rounded);
  if (differs) Q_EMIT changed(rounded);
}

void NumberField::take_text() {
  const auto number = first_number(edit_->text());
  if (edit_->isModified()) take(number.value_or(value_));
  Q_EMIT finished();
}

bool NumberField::eventFilter(QObject* watched, QEvent* event) {
  if (event->type() == QEvent::FocusIn) {
    set_flag(this, "focused", true);
  } else if (event->type() == QEvent::FocusOut) {
    set_flag(this, "focused", false);
  } else if (event->type() == QEvent::KeyPress) {
    const auto* key = static_cast<QKeyEvent*>(event);
    if (key->key() == Qt::Key_Up || key->key() == Qt::Key_Down) {
      take(value_ + (key->key() == Qt::Key_Up ? range_.step : -range_.step));
      return true;
    }
  }
  return QFrame::eventFilter(watched, event);
}

InlineNumber::InlineNumber(const QString& name, const QString& word, Qt::Alignment alignment, QWidget* parent)
    : QLineEdit(parent), word_(word) {
  setProperty("kind", "inline");
  setAccessibleName(name);
  setAlignment(alignment);
  connect(this, &QLineEdit::editingFinished, this, &InlineNumber::take_text);
}

void InlineNumber::set_percent(double ratio) {
  shown_ = word_ + " " + QString::fromStdString(views::percent_text(ratio));
  if (!(hasFocus() && isModified())) setText(shown_);
}

void InlineNumber::take_text() {
  if (!isModified()) return;
  setModified(false);
  const auto number = first_number(text());
  setText(shown_);
  if (number) Q_EMIT entered(std::clamp(*number / 100, 0.0, 1.0));
}

}  // namespace ditscope::gui
