#pragma once
#include <QWidget>
#include <vector>

#include "app/gui/worker/job.h"

class QGridLayout;
class QLabel;

namespace ditscope::gui {

/// The figures of the shown job: seconds, PSNR, kept ratios asked, achieved and over the run, and each run against the first.
class ResultsTable : public QWidget {
  Q_OBJECT
 public:
  /// @param compact  without the bars
  explicit ResultsTable(bool compact, QWidget* parent = nullptr);
  void show_job(const JobView* job, int second);

 private:
  void add_row(int row, int run, const views::RunFigures& figures);
  void add_speed(int row, int run, const views::Speed& speed, const views::RunFigures& figures);
  QLabel* put(int row, int column, const QString& text, const char* role, bool right = true);
  bool compact_;
  QGridLayout* grid_;
  class HonestBars* bars_;
  QLabel* bars_title_;
  QWidget* bars_block_;
};

}  // namespace ditscope::gui
