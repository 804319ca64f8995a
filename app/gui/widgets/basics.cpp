#include "app/gui/widgets/basics.h"

#include <QBoxLayout>
#include <QButtonGroup>
#include <QKeyEvent>
#include <QPainter>
#include <QStyle>

#include "app/gui/style/style.h"

namespace ditscope::gui {

void set_role(QWidget* widget, const char* role) {
  widget->setProperty("role", role);
  widget->style()->unpolish(widget);
  widget->style()->polish(widget);
}

QLabel* make_label(const QString& text, const char* role, QWidget* parent) {
  auto* label = new QLabel(text, parent);
  if (*role) label->setProperty("role", role);
  return label;
}

QFrame* make_line(QWidget* parent) {
  auto* line = new QFrame(parent);
  line->setProperty("role", "line");
  return line;
}

QToolButton* make_icon_button(const QString& icon, const QString& name, const char* token) {
  auto* button = new QToolButton;
  const Style& style = Style::current();
  button->setIcon(style.icon(icon, token));
  button->setIconSize(QSize(style.px(14), style.px(14)));
  button->setAccessibleName(name);
  button->setToolTip(name);
  return button;
}

QPushButton* make_button(const QString& text, const QString& icon, const char* kind) {
  // Between icon and words Qt leaves too little.
  auto* button = new QPushButton(icon.isEmpty() ? text : " " + text);
  button->setAccessibleName(text);
  const Style& style = Style::current();
  if (*kind) button->setProperty("kind", kind);
  if (QString(kind) == "tab") set_tab_text(button, text);
  if (!icon.isEmpty()) {
    const bool primary = QString(kind) == "primary";
    button->setIcon(style.icon(icon, primary ? "on_accent" : "text"));
    button->setIconSize(QSize(style.px(14), style.px(14)));
  }
  return button;
}

void set_tab_text(QPushButton* button, const QString& text) {
  const Style& style = Style::current();
  button->setText(text);
  button->setAccessibleName(text);
  button->setMinimumWidth(QFontMetrics(style.words(13, QFont::DemiBold)).horizontalAdvance(text) + style.px(27));
}

QString tooltip_text(const QString& name, const QString& meaning, const QString& formula, const QString& source) {
  QString text = "<div style='width:320px'><b>" + name.toHtmlEscaped() + "</b><br>" + meaning.toHtmlEscaped();
  if (!formula.isEmpty()) text += "<br><br>" + number_span(formula.toHtmlEscaped());
  if (!source.isEmpty()) text += "<br><i>" + source.toHtmlEscaped() + "</i>";
  return text + "</div>";
}

void clear_layout(QBoxLayout* layout) {
  while (QLayoutItem* item = layout->takeAt(0)) {
    if (QWidget* widget = item->widget()) {
      widget->hide();
      widget->deleteLater();
    } else if (auto* inner = qobject_cast<QBoxLayout*>(item->layout())) {
      clear_layout(inner);
    }
    delete item;
  }
}

Segments::Segments(const QString& name, QWidget* parent) : QWidget(parent), group_(new QButtonGroup(this)) {
  setObjectName("segments");
  setAttribute(Qt::WA_StyledBackground);
  setAccessibleName(name);
  auto* layout = new QHBoxLayout(this);
  layout->setContentsMargins(0, 0, 0, 0);
  layout->setSpacing(0);
  setSizePolicy(QSizePolicy::Maximum, QSizePolicy::Fixed);
  connect(group_, &QButtonGroup::idClicked, this, &Segments::chosen);
}

void Segments::set_items(const QStringList& items) {
  QStringList have;
  for (auto* button : group_->buttons()) have << button->text();
  if (have == items) return;
  for (auto* button : group_->buttons()) {
    group_->removeButton(button);
    delete button;
  }
  for (int i = 0; i < items.size(); ++i) {
    auto* button = new QPushButton(items[i], this);
    button->setProperty("kind", "segment");
    button->setCheckable(true);
    button->setAccessibleName(accessibleName() + ": " + items[i]);
    group_->addButton(button, i);
    layout()->addWidget(button);
  }
}

void Segments::set_current(int index) {
  if (QAbstractButton* wanted = group_->button(index)) {
    wanted->setChecked(true);
  } else if (QAbstractButton* now = group_->checkedButton()) {
    group_->setExclusive(false);
    now->setChecked(false);
    group_->setExclusive(true);
  }
}

QPushButton* Segments::button(int index) const {
  return qobject_cast<QPushButton*>(group_->button(index));
}

ChoiceButton::ChoiceButton(const QString& name, QWidget* parent) : QPushButton(parent), name_(name) {
  setAccessibleName(name);
  setProperty("kind", "choice");
  connect(this, &QPushButton::clicked, this, &ChoiceButton::open);
}

void ChoiceButton::set_shown(const QString& text, const QString& remark, bool number) {
  text_ = text;
  remark_ = remark;
  number_ = number;
  setAccessibleName(name_ + ": " + text + (remark.isEmpty() ? "" : ", " + remark));
  updateGeometry();
  update();
}

void ChoiceButton::set_items(std::vector<Item> items) {
  items_ = std::move(items);
}

void ChoiceButton::open() {
  QMenu menu(this);
  menu.setToolTipsVisible(true);
  for (const Item& item : items_) {
    if (item.separator_before) menu.addSeparator();
    QAction* action = menu.addAction(item.remark.isEmpty() ? item.text : item.text + "   " + item.remark);
    action->setEnabled(item.enabled);
    action->setToolTip(item.tip);
    if (item.text == text_) {
      action->setCheckable(true);
      action->setChecked(true);
    }
    connect(action, &QAction::triggered, this, item.action);
  }
  menu.setMinimumWidth(width());
  menu.exec(mapToGlobal(QPoint(0, height())));
}

QSize ChoiceButton::sizeHint() const {
  const Style& style = Style::current();
  const QFontMetrics metrics(number_ ? style.numbers(12) : style.words(13)), remarks(style.words(13));
  const int remark = remark_.isEmpty() ? 0 : remarks.horizontalAdvance(remark_) + style.px(6);
  return {metrics.horizontalAdvance(text_) + remark + style.px(36), style.px(26)};
}

QSize ChoiceButton::minimumSizeHint() const {
  return {Style::current().px(56), Style::current().px(26)};
}

void ChoiceButton::paintEvent(QPaintEvent*) {
  const Style& style = Style::current();
  QPainter painter(this);
  painter.setRenderHint(QPainter::Antialiasing);
  const QColor edge = hasFocus() ? style.colour("accent") : underMouse() ? style.colour("edge") : style.colour("line");
  painter.setPen(edge);
  painter.setBrush(style.colour("raised"));
  painter.drawRoundedRect(QRectF(rect()).adjusted(0.5, 0.5, -0.5, -0.5), style.px(4), style.px(4));
  const int pad = style.px(8), icon = style.px(14);
  int x = pad;
  const int right = width() - pad - icon - style.px(2);
  painter.setFont(number_ ? style.numbers(12) : style.words(13));
  painter.setPen(isEnabled() ? style.colour("text") : style.colour("text3"));
  const QString shown = painter.fontMetrics().elidedText(text_, Qt::ElideRight, right - x);
  painter.drawText(QRect(x, 0, right - x, height()), Qt::AlignVCenter | Qt::AlignLeft, shown);
  x += painter.fontMetrics().horizontalAdvance(shown) + style.px(6);
  if (!remark_.isEmpty() && x < right) {
    painter.setFont(style.words(13));
    painter.setPen(style.colour("text3"));
    painter.drawText(QRect(x, 0, right - x, height()), Qt::AlignVCenter | Qt::AlignLeft,
                     painter.fontMetrics().elidedText(remark_, Qt::ElideRight, right - x));
  }
  painter.drawPixmap(width() - pad - icon, (height() - icon) / 2,
                     style.pixmap("chevron-down", style.colour("text2"), icon, devicePixelRatioF()));
}

void ChoiceButton::keyPressEvent(QKeyEvent* event) {
  if (event->key() == Qt::Key_Down || event->key() == Qt::Key_Return || event->key() == Qt::Key_Enter) {
    open();
    return;
  }
  QPushButton::keyPressEvent(event);
}

Toggle::Toggle(const QString& name, QWidget* parent) : QAbstractButton(parent) {
  setCheckable(true);
  setAccessibleName(name);
  setFocusPolicy(Qt::StrongFocus);
  setSizePolicy(QSizePolicy::Fixed, QSizePolicy::Fixed);
}

QSize Toggle::sizeHint() const {
  return {Style::current().px(30), Style::current().px(24)};
}

void Toggle::paintEvent(QPaintEvent*) {
  const Style& style = Style::current();
  QPainter painter(this);
  painter.setRenderHint(QPainter::Antialiasing);
  const double height_px = style.px(16), width_px = style.px(28);
  const QRectF pill(1, (height() - height_px) / 2, width_px, height_px);
  painter.setPen(hasFocus() ? style.colour("text") : isChecked() ? style.colour("accent") : style.colour("edge"));
  painter.setBrush(isChecked() ? style.colour("accent") : style.colour("raised"));
  painter.drawRoundedRect(pill, height_px / 2, height_px / 2);
  painter.setPen(Qt::NoPen);
  painter.setBrush(isChecked() ? style.colour("on_accent") : style.colour("text2"));
  const double radius = height_px / 2 - 3;
  painter.drawEllipse(QPointF(isChecked() ? pill.right() - height_px / 2 : pill.left() + height_px / 2, pill.center().y()),
                      radius, radius);
}

}  // namespace ditscope::gui
