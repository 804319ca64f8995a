#pragma once
#include <QLabel>
#include <QMenu>
#include <QPushButton>
#include <QStringList>
#include <QToolButton>
#include <functional>
#include <vector>

class QButtonGroup;
class QBoxLayout;

namespace ditscope::gui {

/// A label whose look comes from the style sheet: roles "text2" "text3" "note" "ticks" "strong" "title" "number" ...
QLabel* make_label(const QString& text, const char* role = "", QWidget* parent = nullptr);
void set_role(QWidget* widget, const char* role);
QFrame* make_line(QWidget* parent = nullptr);
/// An icon alone: for play, step, lock, export, help, undo. `name` is its accessible name and tooltip.
QToolButton* make_icon_button(const QString& icon, const QString& name, const char* token = "text2");
/// A button of kind "tab" is as wide as its text in bold, which it shows while it is on.
void set_tab_text(QPushButton* button, const QString& text);
QPushButton* make_button(const QString& text, const QString& icon = {}, const char* kind = "");
/// Word-wrapped rich text of a tooltip: name, meaning, formula, source.
QString tooltip_text(const QString& name, const QString& meaning, const QString& formula = {}, const QString& source = {});
/// Removes and deletes what a layout holds.
void clear_layout(QBoxLayout* layout);

/// Up to a handful of choices side by side, one of them on.
class Segments : public QWidget {
  Q_OBJECT
 public:
  explicit Segments(const QString& name, QWidget* parent = nullptr);
  void set_items(const QStringList& items);
  void set_current(int index);  ///< without a signal; -1: none
  QPushButton* button(int index) const;

 Q_SIGNALS:
  void chosen(int index);

 private:
  QButtonGroup* group_;
};

/// A menu that looks like a field: the chosen name, a quieter remark behind it, a chevron.
class ChoiceButton : public QPushButton {
  Q_OBJECT
 public:
  struct Item {
    QString text, remark;
    std::function<void()> action;
    bool enabled = true;
    bool separator_before = false;
    QString tip;
  };
  explicit ChoiceButton(const QString& name, QWidget* parent = nullptr);
  void set_shown(const QString& text, const QString& remark = {}, bool number = false);
  void set_items(std::vector<Item> items);
  void open();
  QString shown() const { return text_; }
  QSize sizeHint() const override;
  QSize minimumSizeHint() const override;

 protected:
  void paintEvent(QPaintEvent* event) override;
  void keyPressEvent(QKeyEvent* event) override;

 private:
  QString name_, text_, remark_;
  bool number_ = false;
  std::vector<Item> items_;
};

/// Switch drawn as a pill.
class Toggle : public QAbstractButton {
  Q_OBJECT
 public:
  explicit Toggle(const QString& name, QWidget* parent = nullptr);
  QSize sizeHint() const override;

 protected:
  void paintEvent(QPaintEvent* event) override;
};

}  // namespace ditscope::gui
