#pragma once
#include <QWidget>
#include <vector>

#include "app/gui/session.h"

class QLabel;
class QPushButton;
class QStackedWidget;
class QToolButton;

namespace ditscope::gui {

class ChoiceButton;
class CompareView;
class NumberField;
class ResultsTable;
class Scrubber;
class Segments;
class TimePlot;

/// The middle of the Generate workspace: mode bar, GL view, transport, results.
class ComparePanel : public QWidget {
  Q_OBJECT
 public:
  ComparePanel(Session& session, bool compact, QWidget* parent = nullptr);
  CompareView* view() const { return view_; }
  void set_bare(bool bare);  ///< the view alone
  /// 0 the clips, 1 difference over time.
  void set_tab(int tab);
  void next_difference();
  void choose_mode(int index);
  void swap();
  void toggle_play();
  void step(int by);

 Q_SIGNALS:
  void save();

 private:
  QWidget* build_header();
  QWidget* build_mode_bar();
  QWidget* build_transport();
  void refresh_clips();
  void refresh_state();
  void refresh_frame(int frame);
  void refresh_zoom();
  std::shared_ptr<const JobView> source() const;
  int runs_shown() const;

  Session& session_;
  bool compact_;
  int tab_ = 0;
  std::vector<QPushButton*> tabs_;
  TimePlot* plot_ = nullptr;
  CompareView* view_;
  QStackedWidget* stack_;
  QLabel *job_ = nullptr, *remark_ = nullptr, *empty_ = nullptr, *zoom_ = nullptr, *frame_ = nullptr, *seconds_ = nullptr;
  QLabel *range_ = nullptr, *live_ = nullptr;
  QPushButton* fit_ = nullptr;
  Segments *modes_ = nullptr, *against_ = nullptr;
  ChoiceButton *third_ = nullptr, *difference_ = nullptr;
  QLabel* third_label_ = nullptr;
  NumberField* shift_ = nullptr;
  QWidget* shift_block_ = nullptr;
  QPushButton* save_ = nullptr;
  QToolButton *play_ = nullptr, *loop_ = nullptr;
  QPushButton* speed_ = nullptr;
  Scrubber* scrubber_ = nullptr;
  ResultsTable* results_ = nullptr;
  QWidget *header_ = nullptr, *mode_bar_ = nullptr, *transport_ = nullptr;
};

}  // namespace ditscope::gui
