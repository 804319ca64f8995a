#pragma once
#include <QDialog>
#include <atomic>
#include <cstdint>
#include <filesystem>
#include <thread>
#include <vector>

#include "core/pipeline/attend.h"

class QLabel;
class QLineEdit;
class QPushButton;

namespace ditscope::gui {

class ChoiceButton;
class NumberField;
class Segments;
class Session;

/// q, k and v of a file from any program: asks how their tokens lie and which method to try, runs it and records a capture.
class TensorsDialog : public QDialog {
  Q_OBJECT
 public:
  /// @param shape  (S,B,H,T,D) of q in the file
  TensorsDialog(Session& session, const std::filesystem::path& tensors, std::vector<std::int64_t> shape, QWidget* parent);
  ~TensorsDialog() override;

  /// What the fields ask for. @throws Error of the method's text
  AttendRequest request() const;
  void set_grid(int frames, int rows, int columns, int text_tokens);
  void set_method(const QString& method);  ///< "re-ttention:kept_ratio=0.1"
  void run();

 Q_SIGNALS:
  void recorded(const QString& capture);

 protected:
  void reject() override;

 private:
  NumberField* number(const char* name, double least, double value);
  void refresh();
  void show_progress(std::int64_t step);
  void take_end(const QString& problem);

  Session& session_;
  std::filesystem::path tensors_;
  std::vector<std::int64_t> shape_;  // (S,B,H,T,D)
  std::string method_ = "re-ttention";
  ChoiceButton* methods_;
  QLineEdit* parameters_;
  NumberField *frames_, *rows_, *columns_, *text_, *first_step_, *total_steps_;
  Segments *text_place_, *branches_;
  QLabel *sum_, *progress_;
  QPushButton *run_, *cancel_;
  std::vector<QWidget*> fields_;
  std::filesystem::path capture_;
  std::atomic<bool> stop_{false};
  std::thread thread_;
  bool text_first_ = true, two_branches_ = false, running_ = false;
};

}  // namespace ditscope::gui
