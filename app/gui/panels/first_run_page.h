#pragma once
#include <QWidget>
#include <vector>

#include "app/gui/self_test.h"
#include "app/gui/session.h"

class QGridLayout;
class QLabel;
class QVBoxLayout;

namespace ditscope::gui {

/// What is there before the first run: what to do, what this machine can, how it reads.
class FirstRunPage : public QWidget {
  Q_OBJECT
 public:
  FirstRunPage(Session& session, QWidget* parent = nullptr);
  /// What OpenGL said; the window asks it with a context of its own.
  void set_gl_check(const Check& check);

 Q_SIGNALS:
  void generate();
  void open_folder();
  void open_recorded();  ///< the run that comes with the program
  void look_changed();  ///< light or text scale, already in the settings

 private:
  QWidget* make_card(QWidget* picture, const QString& title, const QString& text, QWidget* button);
  QWidget* build_machine();
  QWidget* build_reading();
  void run_checks();
  void show_checks();
  void refresh_model();
  Session& session_;
  std::vector<Check> checks_;
  Check gl_check_;
  double seconds_ = 0;
  QGridLayout* grid_ = nullptr;
  QLabel *time_ = nullptr, *note_ = nullptr, *note_icon_ = nullptr;
  class FolderPicture* folder_ = nullptr;
  class PairPicture* pair_ = nullptr;
};

}  // namespace ditscope::gui
