#include "app/gui/panels/message_bar.h"

#include <QBoxLayout>
#include <QLabel>
#include <QPushButton>

#include "app/gui/style/style.h"
#include "app/gui/widgets/basics.h"

namespace ditscope::gui {

MessageBar::MessageBar(Session& session, QWidget* parent) : QWidget(parent), session_(session), layout_(new QVBoxLayout(this)) {
  layout_->setContentsMargins(0, 0, 0, 0);
  layout_->setSpacing(1);
  setAccessibleName("Messages");
  connect(&session_, &Session::messages_changed, this, &MessageBar::refresh);
  refresh();
}

void MessageBar::refresh() {
  clear_layout(layout_);
  const Style& style = Style::current();
  for (const Message& message : session_.messages()) {
    static const char* kKinds[] = {"note", "warn", "error"};
    static const char* kTokens[] = {"accent", "warn", "error"};
    static const char* kIcons[] = {"eye", "warn", "warn"};
    const int kind = static_cast<int>(message.kind);
    auto* box = new QFrame;
    box->setObjectName("message");
    box->setProperty("kind", kKinds[kind]);
    auto* line = new QHBoxLayout(box);
    line->setContentsMargins(style.px(12), style.px(6), style.px(8), style.px(6));
    line->setSpacing(style.px(8));
    auto* icon = new QLabel;
    icon->setPixmap(style.pixmap(kIcons[kind], style.colour(kTokens[kind]), style.px(14), devicePixelRatioF()));
    line->addWidget(icon, 0, Qt::AlignVCenter);
    auto* text = new QLabel(message.text);
    text->setTextFormat(Qt::PlainText);
    text->setWordWrap(true);
    text->setTextInteractionFlags(Qt::TextSelectableByMouse);
    text->setAccessibleName(message.text);
    line->addWidget(text, 1);
    const int id = message.id;
    for (const Message::Action& action : message.actions) {
      auto* button = make_button(action.label);
      connect(button, &QPushButton::clicked, this, [this, id, run = action.run, stays = action.stays] {
        run();
        if (!stays) session_.dismiss(id);
      });
      line->addWidget(button);
    }
    auto* close = make_icon_button("close", "Dismiss");
    connect(close, &QToolButton::clicked, this, [this, id] { session_.dismiss(id); });
    line->addWidget(close, 0, Qt::AlignVCenter);
    layout_->addWidget(box);
  }
  setVisible(!session_.messages().empty());
}

}  // namespace ditscope::gui
