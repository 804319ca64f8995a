#include "app/gui/inspect/control_bar.h"

#include <QLineEdit>
#include <algorithm>

#include "app/gui/session.h"
#include "app/gui/style/style.h"
#include "app/gui/widgets/basics.h"
#include "app/gui/widgets/flow_layout.h"
#include "app/gui/widgets/number_field.h"
#include "app/gui/widgets/text_of.h"
#include "kernels/error.h"

namespace ditscope::gui {
namespace {

constexpr std::size_t kMostSegments = 3, kLongestSegments = 18;

bool as_segments(const views::Control& control) {
  std::size_t length = 0;
  for (const std::string& choice : control.choices) length += choice.size();
  return control.choices.size() <= kMostSegments && length <= kLongestSegments;
}

bool same_shape(const std::vector<views::Control>& a, const std::vector<views::Control>& b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(), [](const views::Control& x, const views::Control& y) {
    return x.name == y.name && x.kind == y.kind && x.label == y.label && x.choices == y.choices && x.least == y.least && x.most == y.most;
  });
}

int index_of(const views::Control& control) {
  const auto it = std::find(control.choices.begin(), control.choices.end(), control.value);
  return it == control.choices.end() ? -1 : static_cast<int>(it - control.choices.begin());
}

}  // namespace

ControlBar::ControlBar(ViewWidget& view, QWidget* parent) : QWidget(parent), view_(view) {
  const Style& style = Style::current();
  auto* layout = new FlowLayout(this, style.px(6));
  layout->setContentsMargins(style.px(8), style.px(4), style.px(8), style.px(4));
  QSizePolicy policy(QSizePolicy::Preferred, QSizePolicy::Minimum);
  policy.setHeightForWidth(true);
  setSizePolicy(policy);
  more_ = make_icon_button("chevron-down", "More controls");
  more_->setCheckable(true);
  connect(more_, &QToolButton::toggled, this, &ControlBar::fold);
  connect(&view_, &ViewWidget::controls_asked, this, &ControlBar::refresh);
  refresh();
}

void ControlBar::set(const std::string& name, const std::string& value) {
  try {
    view_.view().set_control(name, value);
  } catch (const Error&) {
    // The value on screen is older than the data; refresh() shows what there is now.
  }
  view_.repaint_soon();
  refresh();
}

QWidget* ControlBar::make_control(const views::Control& control) {
  const QString label = text_of(control.label);
  QWidget* made = nullptr;
  if (control.kind == views::Control::Kind::Switch) {
    auto* button = make_button(label, {}, "segment");
    button->setCheckable(true);
    button->setSizePolicy(QSizePolicy::Maximum, QSizePolicy::Fixed);
    connect(button, &QPushButton::clicked, this, [this, name = control.name](bool on) { set(name, on ? "on" : "off"); });
    made = button;
  } else if (control.kind == views::Control::Kind::Number) {
    auto* field = new NumberField(label);
    // A value that is written without a fraction has none.
    const bool whole = control.value.find_first_of(".e") == std::string::npos;
    field->set_range({control.least, control.most, whole ? 1 : std::max((control.most - control.least) / 100, 0.001), whole ? 0 : 3});
    field->set_prefix(label + " ");
    field->setFixedWidth(QFontMetrics(Style::current().words(13)).horizontalAdvance(label) + Style::current().px(72));
    connect(field, &NumberField::changed, this, [this, name = control.name](double value) {
      char digits[40];
      std::snprintf(digits, sizeof digits, "%.9g", value);
      set(name, digits);
    });
    made = field;
  } else if (as_segments(control)) {
    auto* segments = new Segments(label);
    QStringList items;
    for (const std::string& choice : control.choices) items << text_of(choice);
    segments->set_items(items);
    connect(segments, &Segments::chosen, this, [this, control](int index) { set(control.name, control.choices[static_cast<std::size_t>(index)]); });
    made = segments;
  } else {
    auto* button = new ChoiceButton(label);
    std::vector<ChoiceButton::Item> items;
    for (const std::string& choice : control.choices) {
      ChoiceButton::Item item;
      item.text = text_of(choice);
      // Later: the menu that was clicked may be replaced.
      item.action = [this, name = control.name, choice] {
        QMetaObject::invokeMethod(
            this, [this, name, choice] { set(name, choice); }, Qt::QueuedConnection);
      };
      items.push_back(std::move(item));
    }
    button->set_items(std::move(items));
    made = button;
  }
  made->setObjectName("control-" + text_of(control.name));
  made->setAccessibleName(label);
  made->setToolTip(tooltip_text(label, text_of(control.tooltip)));
  return made;
}

void ControlBar::show_value(QWidget* widget, const views::Control& control) {
  if (auto* segments = qobject_cast<Segments*>(widget)) {
    segments->set_current(index_of(control));
  } else if (auto* choice = qobject_cast<ChoiceButton*>(widget)) {
    choice->set_shown(text_of(control.value), {});
    choice->setAccessibleDescription(text_of(control.value));
    choice->setFixedWidth(std::min(choice->sizeHint().width(), Style::current().px(240)));
  } else if (auto* field = qobject_cast<NumberField*>(widget)) {
    field->set_value(text_of(control.value).toDouble());
  } else if (auto* button = qobject_cast<QPushButton*>(widget)) {
    button->setChecked(control.value == "on");
  }
  if (widget->isEnabled() == control.problem.empty()) return;
  widget->setEnabled(control.problem.empty());
  widget->setToolTip(tooltip_text(text_of(control.label), text_of(control.tooltip + (control.problem.empty() ? "" : "\n" + control.problem))));
}

void ControlBar::refresh() {
  const std::vector<views::Control> now = view_.view().controls(view_.view_context());
  if (!same_shape(now, shown_) || widgets_.empty()) {
    while (QLayoutItem* item = layout()->takeAt(0)) {
      if (item->widget() != more_) {
        item->widget()->hide();
        item->widget()->deleteLater();
      }
      delete item;
    }
    widgets_.clear();
    for (const views::Control& control : now) {
      widgets_.push_back(make_control(control));
      layout()->addWidget(widgets_.back());
    }
    layout()->addWidget(more_);
    setVisible(!now.empty());
    updateGeometry();
  }
  shown_ = now;
  for (std::size_t i = 0; i < now.size(); ++i) show_value(widgets_[i], now[i]);
  fold();
}

void ControlBar::resizeEvent(QResizeEvent* event) {
  QWidget::resizeEvent(event);
  fold();
}

void ControlBar::fold() {
  const int gap = Style::current().px(6), more = more_->sizeHint().width() + gap;
  int room = width() - layout()->contentsMargins().left() - layout()->contentsMargins().right(), all = 0;
  const auto wide = [](const QWidget* widget) { return std::clamp(widget->sizeHint().width(), widget->minimumWidth(), widget->maximumWidth()); };
  for (const QWidget* widget : widgets_) all += wide(widget) + gap;
  const bool fits = all <= room + gap;
  room -= more;
  bool open = true;
  for (QWidget* widget : widgets_) {
    room -= wide(widget) + gap;
    // In their order: what comes after the first that does not fit waits as well.
    open = open && (fits || room + gap >= 0);
    widget->setVisible(open || more_->isChecked());
  }
  more_->setVisible(!fits);
}

}  // namespace ditscope::gui
