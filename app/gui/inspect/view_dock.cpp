#include "app/gui/inspect/view_dock.h"

#include <QBoxLayout>
#include <QMenu>
#include <QToolTip>

#include "app/gui/inspect/control_bar.h"
#include "app/gui/inspect/export_menu.h"
#include "app/gui/style/style.h"
#include "app/gui/widgets/basics.h"
#include "app/gui/widgets/text_of.h"

namespace ditscope::gui {
namespace {

/// A view is never narrower, whatever the size of the text; where there is less room, docks share it as tabs.
constexpr int kLeast_px = 280;

/// Name, meaning, formula, source, keys.
QString help_of(const views::ViewInfo& info) {
  QString text = tooltip_text(text_of(info.title), text_of(info.summary), text_of(info.formula), text_of(info.source));
  if (!info.keys.empty()) text += "<br>" + text_of(info.keys).toHtmlEscaped();
  return text;
}

}  // namespace

ViewDock::ViewDock(InspectSession& session, const QString& name, const std::vector<std::string>& ids, bool low, QWidget* parent)
    : QWidget(parent), session_(session) {
  const Style& style = Style::current();
  setObjectName("panel");
  setAccessibleName(name);
  setAttribute(Qt::WA_StyledBackground);
  setMinimumWidth(kLeast_px);
  auto* layout = new QVBoxLayout(this);
  layout->setContentsMargins(0, 0, 0, 0);
  layout->setSpacing(0);
  auto* bar = new QWidget;
  bar->setObjectName("dockHeader");
  bar->setAttribute(Qt::WA_StyledBackground);
  bar->setFixedHeight(style.px(28));
  auto* header = new QHBoxLayout(bar);
  header->setContentsMargins(0, 0, style.px(6), 0);
  header->setSpacing(0);
  pages_ = new QStackedWidget;
  QWidget* low_controls = nullptr;
  for (const std::string& id : ids) {
    auto* view = new ViewWidget(session_, id);
    auto* page = new QWidget;
    auto* column = new QVBoxLayout(page);
    column->setContentsMargins(0, 0, 0, 0);
    column->setSpacing(0);
    auto* controls = new ControlBar(*view);
    if (low && views_.empty()) {
      low_controls = controls;
    } else {
      column->addWidget(controls);
    }
    column->addWidget(view, 1);
    const int index = pages_->addWidget(page);
    auto* tab = make_button(text_of(view->view().info().title), {}, "tab");
    tab->setCheckable(true);
    tab->setToolTip(help_of(view->view().info()));
    connect(tab, &QPushButton::clicked, this, [this, index] { set_current(index); });
    connect(view, &ViewWidget::entered, this, [this, id] { Q_EMIT entered(id); });
    header->addWidget(tab);
    views_.push_back(view);
    tabs_.push_back(tab);
  }
  more_ = make_icon_button("chevron-down", "More views");
  connect(more_, &QToolButton::clicked, this, &ViewDock::show_more);
  header->addWidget(more_);
  if (low_controls) {
    bar->setFixedHeight(style.px(32));
    header->addWidget(low_controls, 1);
  } else {
    header->addStretch(1);
  }
  own_ = make_label("", "ticks");
  header->addWidget(own_);
  lock_ = make_icon_button("unlock", "Lock this tab to its step, layer and head (L)");
  lock_->setObjectName("lockTab");
  connect(lock_, &QToolButton::clicked, this, [this] { session_.set_locked(current()->id(), !session_.locked(current()->id())); });
  export_ = make_icon_button("export", "Export: PNG, SVG, PDF, MP4, GIF, CSV, NPY, NPZ, safetensors");
  export_->setObjectName("exportView");
  connect(export_, &QToolButton::clicked, this,
          [this] { show_export_menu(session_, *current(), export_->mapToGlobal(QPoint(0, export_->height()))); });
  help_ = make_icon_button("help", "What this shows");
  connect(help_, &QToolButton::clicked, this, &ViewDock::show_help);
  for (QToolButton* tool : {lock_, export_, help_}) header->addWidget(tool);
  layout->addWidget(bar);
  layout->addWidget(pages_, 1);
  connect(&session_, &InspectSession::changed, this, &ViewDock::refresh_tools);
  connect(&session_, &InspectSession::captures_changed, this, &ViewDock::refresh_tools);
  set_current(0);
}

ViewWidget* ViewDock::current() const { return views_.at(static_cast<std::size_t>(pages_->currentIndex())); }

ViewWidget* ViewDock::view(const std::string& id) const {
  for (ViewWidget* view : views_) {
    if (view->id() == id) return view;
  }
  return nullptr;
}

void ViewDock::show_view(const std::string& id) {
  for (std::size_t i = 0; i < views_.size(); ++i) {
    if (views_[i]->id() == id) set_current(static_cast<int>(i));
  }
}

void ViewDock::set_current(int index) {
  pages_->setCurrentIndex(index);
  for (std::size_t i = 0; i < tabs_.size(); ++i) tabs_[i]->setChecked(static_cast<int>(i) == index);
  arrange_tabs();
  refresh_tools();
  Q_EMIT shown(current()->id());
}

void ViewDock::resizeEvent(QResizeEvent* event) {
  QWidget::resizeEvent(event);
  arrange_tabs();
}

void ViewDock::arrange_tabs() {
  const Style& style = Style::current();
  int room = width() - style.px(4 * 26 + 12) - (own_->text().isEmpty() ? 0 : own_->sizeHint().width());
  const std::size_t shown = static_cast<std::size_t>(pages_->currentIndex());
  room -= tabs_[shown]->minimumWidth();
  bool hidden = false;
  for (std::size_t i = 0; i < tabs_.size(); ++i) {
    const bool fits = i == shown || tabs_[i]->minimumWidth() <= room;
    if (fits && i != shown) room -= tabs_[i]->minimumWidth();
    tabs_[i]->setVisible(fits);
    hidden = hidden || !fits;
  }
  more_->setVisible(hidden);
}

void ViewDock::refresh_tools() {
  const Style& style = Style::current();
  const bool locked = session_.locked(current()->id());
  lock_->setIcon(style.icon(locked ? "lock" : "unlock", locked ? "accent" : "text2"));
  const bool open = !session_.inspection().empty();
  lock_->setEnabled(open);
  export_->setEnabled(open);
  QString own;
  if (locked) {
    const views::InspectCursor at = session_.cursor_of(current()->id());
    own = QString("%1 step %2 L%3 H%4 ").arg(QChar(session_.inspection().run(at.run).letter)).arg(at.step).arg(at.layer).arg(at.head);
  }
  if (own == own_->text()) return;
  own_->setText(own);
  arrange_tabs();
}

void ViewDock::show_help() {
  QToolTip::showText(help_->mapToGlobal(QPoint(0, help_->height())), help_of(current()->view().info()), help_, {}, 60'000);
}

void ViewDock::show_more() {
  QMenu menu(this);
  for (std::size_t i = 0; i < views_.size(); ++i) {
    QAction* action = menu.addAction(text_of(views_[i]->view().info().title));
    action->setCheckable(true);
    action->setChecked(static_cast<int>(i) == pages_->currentIndex());
    connect(action, &QAction::triggered, this, [this, i] { set_current(static_cast<int>(i)); });
  }
  menu.exec(more_->mapToGlobal(QPoint(0, more_->height())));
}

}  // namespace ditscope::gui
