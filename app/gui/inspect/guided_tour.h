#pragma once
#include <QFrame>
#include <QTimer>
#include <vector>

class QLabel;
class QPushButton;

namespace ditscope::gui {

class MainWindow;

/// A few words beside each part of the Inspect workspace, one after another; it goes on to a view when its data are there. Leaves
/// everything usable; Esc or the cross ends it.
class GuidedTour : public QFrame {
  Q_OBJECT
 public:
  /// On the open capture; one that goes on begins anew.
  static void start(MainWindow& window);
  int stop() const { return stop_; }
  int stops() const;

 protected:
  bool eventFilter(QObject* watched, QEvent* event) override;
  void keyPressEvent(QKeyEvent* event) override;
  void paintEvent(QPaintEvent* event) override;

 private:
  explicit GuidedTour(MainWindow& window);
  void go(int stop);
  void look();    ///< whether what the next stop shows is there
  void arrive();
  void place();

  MainWindow& window_;
  int stop_ = -1, next_stop_ = 0, looks_ = 0;
  QTimer timer_;
  QLabel *title_ = nullptr, *text_ = nullptr, *count_ = nullptr;
  QPushButton *back_ = nullptr, *next_ = nullptr;
};

}  // namespace ditscope::gui
