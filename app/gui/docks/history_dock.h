#pragma once
#include <QListView>
#include <QWidget>

#include "app/gui/session.h"

class QLineEdit;
class QStandardItemModel;
class QSortFilterProxyModel;
class QLabel;

namespace ditscope::gui {

/// Cards of what was made, newest first. A click shows the result and brings every setting back.
class HistoryPage : public QWidget {
  Q_OBJECT
 public:
  HistoryPage(Session& session, bool upright, QWidget* parent = nullptr);
  QWidget* tools() const { return tools_; }
  QLineEdit* search() const { return search_; }
  QListView* list() const { return list_; }

 protected:
  void contextMenuEvent(QContextMenuEvent* event) override;

 private:
  void refresh();
  void mark_shown();
  Session& session_;
  QWidget* tools_;
  QLineEdit* search_;
  QListView* list_;
  QStandardItemModel* model_;
  QSortFilterProxyModel* filtered_;
  QLabel* empty_;
};

}  // namespace ditscope::gui
