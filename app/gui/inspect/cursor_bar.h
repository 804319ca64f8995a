#pragma once
#include <QAbstractButton>
#include <QWidget>
#include <functional>
#include <vector>

#include "app/gui/inspect/inspect_session.h"

class QHBoxLayout;
class QLabel;
class QLineEdit;
class QPushButton;

namespace ditscope::gui {

class Segments;

/// A run of the capture: its letter in its colour, its name; on where the cursor is in it.
class RunChip : public QAbstractButton {
  Q_OBJECT
 public:
  RunChip(char letter, int index, const QString& name, QWidget* parent = nullptr);
  QSize sizeHint() const override;
  QSize minimumSizeHint() const override;

 protected:
  void paintEvent(QPaintEvent* event) override;

 private:
  char letter_;
  int index_;
};

/// "Step < 17 > sparse, 2 after refresh".
class Stepper : public QWidget {
  Q_OBJECT
 public:
  explicit Stepper(const QString& name, QWidget* parent = nullptr);
  void set_shown(int value, const QString& note);

 Q_SIGNALS:
  void moved(int by);
  void typed(int value);

 private:
  QLineEdit* edit_ = nullptr;
  QLabel* note_ = nullptr;
};

/// The one cursor that rules every view: run, step, layer, head, guidance branch, locked token. At the right bookmarks and the
/// captures.
class CursorBar : public QWidget {
  Q_OBJECT
 public:
  /// @param compact  without notes and names that can be missed  @param narrow  in as many lines as it takes
  CursorBar(InspectSession& session, bool compact, bool narrow = false, QWidget* parent = nullptr);

 Q_SIGNALS:
  void open_asked(bool beside);

 private:
  void refresh();
  void refresh_runs();
  void show_bookmarks();
  void show_captures();

  InspectSession& session_;
  bool compact_;
  QHBoxLayout* chips_ = nullptr;
  std::vector<RunChip*> run_chips_;
  Stepper *step_ = nullptr, *layer_ = nullptr, *head_ = nullptr;
  Segments* branch_ = nullptr;
  QPushButton *token_ = nullptr, *bookmarks_ = nullptr, *captures_ = nullptr;
  QLabel* live_ = nullptr;
};

}  // namespace ditscope::gui
