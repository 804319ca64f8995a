#pragma once
#include <QWidget>

#include "app/gui/session.h"

class QVBoxLayout;

namespace ditscope::gui {

/// What the user has to know, with what to do about it; each stays until dismissed. Takes no room while there is nothing.
class MessageBar : public QWidget {
  Q_OBJECT
 public:
  explicit MessageBar(Session& session, QWidget* parent = nullptr);

 private:
  void refresh();
  Session& session_;
  QVBoxLayout* layout_;
};

}  // namespace ditscope::gui
