#include "app/gui/docks/dock_tabs.h"

#include <QBoxLayout>
#include <QPushButton>

#include "app/gui/style/style.h"
#include "app/gui/widgets/basics.h"

namespace ditscope::gui {

DockTabs::DockTabs(const QString& name, QWidget* parent) : QWidget(parent) {
  const Style& style = Style::current();
  setAccessibleName(name);
  setObjectName("panel");
  setAttribute(Qt::WA_StyledBackground);
  auto* layout = new QVBoxLayout(this);
  layout->setContentsMargins(0, 0, 0, 0);
  layout->setSpacing(0);
  auto* bar = new QWidget;
  bar->setObjectName("dockHeader");
  bar->setAttribute(Qt::WA_StyledBackground);
  bar->setFixedHeight(style.px(28));
  header_ = new QHBoxLayout(bar);
  header_->setContentsMargins(0, 0, style.px(8), 0);
  header_->setSpacing(0);
  header_->addStretch(1);
  layout->addWidget(bar);
  pages_ = new QStackedWidget;
  layout->addWidget(pages_, 1);
}

int DockTabs::add_page(const QString& title, QWidget* page, QWidget* tools) {
  const int index = pages_->addWidget(page);
  auto* tab = make_button(title, {}, "tab");
  tab->setCheckable(true);
  header_->insertWidget(index, tab);
  tabs_.push_back(tab);
  tools_.push_back(tools);
  if (tools) {
    header_->addWidget(tools);
    tools->setVisible(index == 0);
  }
  connect(tab, &QPushButton::clicked, this, [this, index] { set_current(index); });
  set_current(pages_->currentIndex());
  return index;
}

void DockTabs::set_title(int index, const QString& title) {
  set_tab_text(tabs_.at(static_cast<std::size_t>(index)), title);
}

void DockTabs::set_current(int index) {
  pages_->setCurrentIndex(index);
  for (std::size_t i = 0; i < tabs_.size(); ++i) {
    tabs_[i]->setChecked(static_cast<int>(i) == index);
    if (tools_[i]) tools_[i]->setVisible(static_cast<int>(i) == index);
  }
}

}  // namespace ditscope::gui
