#pragma once
#include <QWidget>
#include <vector>

#include "app/gui/session.h"

class QLabel;
class QVBoxLayout;
class QToolButton;

namespace ditscope::gui {

class ChoiceButton;
class ParameterRow;

/// One run of the request: its letter, its method, and the rows of the method's parameters. Run 0 is the reference and has no
/// choice.
class MethodSection : public QWidget {
  Q_OBJECT
 public:
  /// @param main_rows  parameters that are always shown; the others fold away until somebody wants them
  MethodSection(Session& session, std::size_t run, std::size_t main_rows, QWidget* parent = nullptr);
  void refresh();

 private:
  void rebuild_rows(const MethodEntry& entry);
  void set_parameter(const std::string& key, const ParameterValue& value);
  void reset_parameter(const std::string& key);
  void refresh_achieved(const MethodChoice& choice);
  /// The method with nothing chosen: what the model's paper publishes, else the catalog's defaults.
  MethodChoice standard_of(const std::string& key) const;
  Session& session_;
  std::size_t run_, main_rows_;
  std::string shown_key_;
  class MethodButton* method_ = nullptr;
  QToolButton *help_ = nullptr, *reset_ = nullptr;
  QVBoxLayout* rows_layout_ = nullptr;
  QVBoxLayout* more_layout_ = nullptr;
  QWidget* more_ = nullptr;
  class Fold* fold_ = nullptr;
  QLabel *achieved_ = nullptr, *defaults_ = nullptr;
  std::vector<ParameterRow*> rows_;
};

/// The letter of a run on its colour.
QWidget* make_badge(int run, QWidget* parent = nullptr);

/// A line that opens and closes what is below it.
class Fold : public QWidget {
  Q_OBJECT
 public:
  Fold(const QString& text, QWidget* parent = nullptr);
  void set_text(const QString& text, const QString& remark = {});
  void set_body(QWidget* body);
  void set_open(bool open);
  bool is_open() const { return open_; }

 protected:
  void resizeEvent(QResizeEvent* event) override;

 Q_SIGNALS:
  void toggled(bool open);

 private:
  class QPushButton* button_;
  QLabel* remark_;
  QWidget* body_ = nullptr;
  bool open_ = false;
};

}  // namespace ditscope::gui
