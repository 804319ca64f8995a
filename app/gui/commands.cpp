#include "app/gui/commands.h"

#include <QBoxLayout>
#include <QDialog>
#include <QGridLayout>
#include <QKeyEvent>
#include <QLabel>
#include <QLineEdit>
#include <QListWidget>

#include "app/gui/style/style.h"
#include "app/gui/widgets/basics.h"

namespace ditscope::gui {
namespace {

QString keys_of(const Command& command) {
  return command.keys_text.isEmpty() ? command.keys.toString(QKeySequence::NativeText).replace("Return", "Enter")
                                     : command.keys_text;
}

/// The field keeps the focus; up, down and Enter go to the list.
class Palette : public QDialog {
 public:
  Palette(const std::vector<Command>& commands, QWidget* parent)
      : QDialog(parent, Qt::Dialog | Qt::FramelessWindowHint), commands_(commands) {
    const Style& style = Style::current();
    setObjectName("palette");
    setWindowTitle("Find a command");
    auto* layout = new QVBoxLayout(this);
    layout->setContentsMargins(style.px(12), style.px(12), style.px(12), style.px(12));
    field_ = new QLineEdit;
    field_->setPlaceholderText("Find a command");
    field_->setAccessibleName("Find a command");
    list_ = new QListWidget;
    list_->setObjectName("paletteList");
    list_->setAccessibleName("Commands");
    list_->setFocusPolicy(Qt::NoFocus);
    layout->addWidget(field_);
    layout->addWidget(list_);
    setFixedSize(style.px(480), style.px(360));
    field_->installEventFilter(this);
    connect(field_, &QLineEdit::textChanged, this, &Palette::fill);
    connect(list_, &QListWidget::itemClicked, this, [this] { done_with_current(); });
    fill();
    if (parent) move(parent->window()->geometry().center().x() - width() / 2, parent->window()->geometry().top() + style.px(80));
  }
  int chosen() const { return chosen_; }

 protected:
  bool eventFilter(QObject* watched, QEvent* event) override {
    if (event->type() == QEvent::KeyPress) {
      const int key = static_cast<QKeyEvent*>(event)->key();
      if (key == Qt::Key_Down || key == Qt::Key_Up) {
        const int row = list_->currentRow() + (key == Qt::Key_Down ? 1 : -1);
        list_->setCurrentRow(std::clamp(row, 0, std::max(0, list_->count() - 1)));
        return true;
      }
      if (key == Qt::Key_Return || key == Qt::Key_Enter) {
        done_with_current();
        return true;
      }
    }
    return QDialog::eventFilter(watched, event);
  }

 private:
  void fill() {
    list_->clear();
    for (std::size_t i = 0; i < commands_.size(); ++i) {
      const Command& command = commands_[i];
      if (!command.in_palette || !command.name.contains(field_->text().trimmed(), Qt::CaseInsensitive)) continue;
      const QString keys = keys_of(command);
      auto* item = new QListWidgetItem(keys.isEmpty() ? command.name : command.name + "   " + keys);
      item->setData(Qt::UserRole, static_cast<int>(i));
      list_->addItem(item);
    }
    list_->setCurrentRow(0);
  }
  void done_with_current() {
    if (const QListWidgetItem* item = list_->currentItem()) chosen_ = item->data(Qt::UserRole).toInt();
    accept();
  }
  const std::vector<Command>& commands_;
  QLineEdit* field_;
  QListWidget* list_;
  int chosen_ = -1;
};

}  // namespace

void show_palette(const std::vector<Command>& commands, QWidget* parent) {
  Palette palette(commands, parent);
  palette.exec();
  if (palette.chosen() >= 0) commands[static_cast<std::size_t>(palette.chosen())].run();
}

void show_key_sheet(const std::vector<Command>& commands, QWidget* parent) {
  const Style& style = Style::current();
  QDialog sheet(parent);
  sheet.setObjectName("keySheet");
  sheet.setWindowTitle("Keys");
  auto* layout = new QVBoxLayout(&sheet);
  layout->setContentsMargins(style.px(20), style.px(16), style.px(20), style.px(16));
  layout->setSpacing(style.px(10));
  layout->addWidget(make_label("Keys", "title"));
  layout->addWidget(make_label("Keys without Ctrl act on the compare view, never while text is edited.", "text2"));
  auto* grid = new QGridLayout;
  grid->setHorizontalSpacing(style.px(12));
  grid->setVerticalSpacing(style.px(5));
  std::vector<const Command*> shown;
  for (const Command& command : commands) {
    if (!keys_of(command).isEmpty()) shown.push_back(&command);
  }
  const int rows = (static_cast<int>(shown.size()) + 1) / 2;
  for (int i = 0; i < static_cast<int>(shown.size()); ++i) {
    const int row = i % rows, column = i / rows * 3;
    auto* keys = make_label(keys_of(*shown[static_cast<std::size_t>(i)]), "key");
    grid->addWidget(keys, row, column, Qt::AlignLeft);
    grid->addWidget(make_label(shown[static_cast<std::size_t>(i)]->name), row, column + 1);
    grid->setColumnMinimumWidth(column + 2, style.px(24));
  }
  layout->addLayout(grid);
  sheet.exec();
}

}  // namespace ditscope::gui
