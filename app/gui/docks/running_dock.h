#pragma once
#include <QTimer>
#include <QWidget>

#include "app/gui/session.h"

class QLabel;
class QListWidget;
class QPushButton;

namespace ditscope::gui {

class StepStrip;

/// The run that goes on: its newest preview, its steps; the controls that pause and stop it.
class RunningPage : public QWidget {
  Q_OBJECT
 public:
  explicit RunningPage(Session& session, QWidget* parent = nullptr);
  /// Elapsed and remaining time, Pause, Stop and decode, Stop: for the dock's header.
  QWidget* tools() const { return tools_; }

 private:
  void refresh();
  void refresh_clock();
  Session& session_;
  QWidget* tools_;
  QLabel *clock_, *name_, *preview_, *caption_;
  QPushButton *pause_, *decode_, *stop_;
  StepStrip* strip_;
  QTimer timer_;
};

/// Requests in line: up, down, remove.
class QueuePage : public QWidget {
  Q_OBJECT
 public:
  explicit QueuePage(Session& session, QWidget* parent = nullptr);

 private:
  void refresh();
  Session& session_;
  QListWidget* list_;
  QLabel* empty_;
  QPushButton *up_, *down_, *remove_;
};

}  // namespace ditscope::gui
