#pragma once
#include <QWidget>
#include <vector>

#include "app/gui/session.h"

class QLabel;
class QPlainTextEdit;
class QPushButton;
class QToolButton;
class QVBoxLayout;

namespace ditscope::gui {

class ChoiceButton;
class Fold;
class MemoryBar;
class MethodSection;
class NumberField;
class Segments;

/// The left side: everything that decides a run, what it will take, and the button.
class RequestPanel : public QWidget {
  Q_OBJECT
 public:
  /// @param first_run  examples under the prompt instead of the history; sampler and guidance folded away
  RequestPanel(Session& session, bool first_run, QWidget* parent = nullptr);
  QPlainTextEdit* prompt() const { return prompt_; }

 Q_SIGNALS:
  void generate(bool at_the_end);
  void open_folder();

 protected:
  void resizeEvent(QResizeEvent* event) override;

 private:
  void refresh_button();
  void build_prompt(QVBoxLayout* body);
  void build_settings(QVBoxLayout* body);
  QWidget* build_negative();
  void build_methods(QVBoxLayout* body);
  QWidget* build_footer();
  void refresh();
  void refresh_model();
  void refresh_derived();
  void refresh_sizes(const ModelInfo& info);
  void show_prompt_history();
  void show_known_words();
  void next_example();
  QWidget* form_row(const QString& name, std::vector<QWidget*> fields);

  Session& session_;
  bool first_run_;
  QPlainTextEdit *prompt_ = nullptr, *negative_ = nullptr;
  QLabel *tokens_ = nullptr, *time_ = nullptr, *time_figure_ = nullptr, *problem_ = nullptr;
  Fold* negative_fold_ = nullptr;
  ChoiceButton *model_ = nullptr, *size_ = nullptr, *frames_ = nullptr, *sampler_ = nullptr;
  NumberField *steps_ = nullptr, *seed_ = nullptr, *guidance_ = nullptr;
  QToolButton* lock_ = nullptr;
  Segments* capture_ = nullptr;
  QLabel* capture_note_ = nullptr;
  QVBoxLayout* methods_ = nullptr;
  std::vector<MethodSection*> sections_;
  QPushButton *add_method_ = nullptr, *generate_ = nullptr, *queue_ = nullptr;
  QPushButton *examples_ = nullptr, *words_ = nullptr;
  MemoryBar* memory_ = nullptr;
  int example_ = 0;
  bool filling_ = false;
};

}  // namespace ditscope::gui
