#include "app/gui/inspect/cursor_bar.h"

#include <QBoxLayout>
#include <QInputDialog>
#include <QIntValidator>
#include <QLineEdit>
#include <QMenu>
#include <QPainter>
#include <algorithm>

#include "app/gui/style/style.h"
#include "app/gui/widgets/basics.h"
#include "app/gui/widgets/flow_layout.h"
#include "app/gui/widgets/text_of.h"

namespace ditscope::gui {
namespace {

constexpr std::size_t kMostChips = 4;

QString branch_word(const std::string& name) {
  return name == "conditional" ? "Cond" : name == "unconditional" ? "Uncond" : text_of(name);
}

}  // namespace

RunChip::RunChip(char letter, int index, const QString& name, QWidget* parent) : QAbstractButton(parent), letter_(letter), index_(index) {
  setText(name);
  setCheckable(true);
  setFocusPolicy(Qt::StrongFocus);
  setObjectName(QString("runChip-") + QChar(letter));
  setAccessibleName(QString("Run %1: %2").arg(QChar(letter)).arg(name));
  setSizePolicy(QSizePolicy::Maximum, QSizePolicy::Fixed);
}

QSize RunChip::sizeHint() const {
  const Style& style = Style::current();
  return {std::min(QFontMetrics(style.words(13)).horizontalAdvance(text()) + style.px(44), style.px(300)), style.px(26)};
}

QSize RunChip::minimumSizeHint() const { return {Style::current().px(44), Style::current().px(26)}; }

void RunChip::paintEvent(QPaintEvent*) {
  const Style& style = Style::current();
  QPainter painter(this);
  painter.setRenderHint(QPainter::Antialiasing);
  const QColor colour = style.run_colour(index_);
  painter.setPen(isChecked() || hasFocus() ? QPen(hasFocus() ? style.colour("accent") : colour, 1) : QPen(style.colour("raised"), 1));
  painter.setBrush(style.colour("raised"));
  painter.drawRoundedRect(QRectF(rect()).adjusted(0.5, 0.5, -0.5, -0.5), style.px(4), style.px(4));
  const QRect badge(style.px(8), (height() - style.px(16)) / 2, style.px(16), style.px(16));
  painter.setPen(Qt::NoPen);
  painter.setBrush(colour);
  painter.drawRoundedRect(badge, style.px(2), style.px(2));
  painter.setPen(style.colour("on_run"));
  painter.setFont(style.words(11, QFont::DemiBold));
  painter.drawText(badge, Qt::AlignCenter, QString(QChar(letter_)));
  painter.setPen(style.colour(isChecked() ? "text" : "text2"));
  painter.setFont(style.words(13));
  const QRect room = rect().adjusted(style.px(32), 0, -style.px(8), 0);
  painter.drawText(room, Qt::AlignVCenter | Qt::AlignLeft, painter.fontMetrics().elidedText(text(), Qt::ElideRight, room.width()));
}

Stepper::Stepper(const QString& name, QWidget* parent) : QWidget(parent) {
  const Style& style = Style::current();
  setObjectName("stepper");
  setAttribute(Qt::WA_StyledBackground);
  auto* line = new QHBoxLayout(this);
  line->setContentsMargins(style.px(8), 0, style.px(4), 0);
  line->setSpacing(style.px(2));
  line->addWidget(make_label(name, "text2"));
  auto* back = make_icon_button("chevron-left", name + " back");
  auto* on = make_icon_button("chevron-right", name + " on");
  edit_ = new QLineEdit;
  edit_->setProperty("kind", "bare");
  edit_->setAlignment(Qt::AlignCenter);
  edit_->setAccessibleName(name);
  edit_->setObjectName("stepper-" + name.toLower());
  edit_->setValidator(new QIntValidator(0, 1'000'000, edit_));
  edit_->setFixedWidth(style.px(32));
  note_ = make_label("", "warn");
  line->addWidget(back);
  line->addWidget(edit_);
  line->addWidget(on);
  line->addWidget(note_);
  setFixedHeight(style.px(26));
  setSizePolicy(QSizePolicy::Maximum, QSizePolicy::Fixed);
  connect(back, &QToolButton::clicked, this, [this] { Q_EMIT moved(-1); });
  connect(on, &QToolButton::clicked, this, [this] { Q_EMIT moved(1); });
  connect(edit_, &QLineEdit::editingFinished, this, [this] { Q_EMIT typed(edit_->text().toInt()); });
}

void Stepper::set_shown(int value, const QString& note) {
  if (!edit_->hasFocus() || !edit_->isModified()) edit_->setText(QString::number(value));
  note_->setText(note);
  note_->setVisible(!note.isEmpty());
}

CursorBar::CursorBar(InspectSession& session, bool compact, bool narrow, QWidget* parent) : QWidget(parent), session_(session), compact_(compact) {
  const Style& style = Style::current();
  setObjectName("cursorBar");
  setAttribute(Qt::WA_StyledBackground);
  QLayout* line = nullptr;
  QHBoxLayout* one_line = nullptr;
  if (narrow) {
    line = new FlowLayout(this, style.px(6));
    line->setContentsMargins(style.px(8), style.px(5), style.px(8), style.px(5));
    QSizePolicy policy(QSizePolicy::Preferred, QSizePolicy::Minimum);
    policy.setHeightForWidth(true);
    setSizePolicy(policy);
  } else {
    line = one_line = new QHBoxLayout(this);
    setFixedHeight(style.px(40));
    one_line->setContentsMargins(style.px(8), 0, style.px(8), 0);
    one_line->setSpacing(style.px(compact ? 6 : 10));
  }
  auto* chips = new QWidget;
  chips_ = new QHBoxLayout(chips);
  chips_->setContentsMargins(0, 0, 0, 0);
  chips_->setSpacing(style.px(6));
  line->addWidget(chips);
  step_ = new Stepper("Step");
  layer_ = new Stepper("Layer");
  head_ = new Stepper("Head");
  const auto typed = [this](Stepper* stepper, int views::InspectCursor::*field) {
    connect(stepper, &Stepper::typed, this, [this, field](int value) {
      views::InspectCursor at = session_.inspection().cursor();
      at.*field = value;
      session_.set_cursor(at);
    });
  };
  connect(step_, &Stepper::moved, &session_, &InspectSession::move_step);
  connect(layer_, &Stepper::moved, &session_, &InspectSession::move_layer);
  connect(head_, &Stepper::moved, &session_, &InspectSession::move_head);
  typed(step_, &views::InspectCursor::step);
  typed(layer_, &views::InspectCursor::layer);
  typed(head_, &views::InspectCursor::head);
  for (Stepper* stepper : {step_, layer_, head_}) line->addWidget(stepper);
  branch_ = new Segments("Guidance branch");
  connect(branch_, &Segments::chosen, this, [this](int index) {
    views::InspectCursor at = session_.inspection().cursor();
    at.branch = index;
    session_.set_cursor(at);
  });
  line->addWidget(branch_);
  token_ = make_button("", {}, "token");
  token_->setObjectName("tokenChip");
  token_->setIcon(style.icon("lock", "brush"));
  token_->setToolTip("Locked token; press to unlock (Esc)");
  connect(token_, &QPushButton::clicked, this, [this] { session_.inspection().unlock_all(); });
  line->addWidget(token_);
  if (one_line) one_line->addStretch(1);
  live_ = make_label("", "warn");
  line->addWidget(live_);
  bookmarks_ = make_button(compact ? "" : "Bookmarks", "bookmark");
  bookmarks_->setAccessibleName("Bookmarks");
  connect(bookmarks_, &QPushButton::clicked, this, &CursorBar::show_bookmarks);
  line->addWidget(bookmarks_);
  captures_ = make_button("", "folder");
  captures_->setAccessibleName("Captures");
  connect(captures_, &QPushButton::clicked, this, &CursorBar::show_captures);
  line->addWidget(captures_);
  connect(&session_, &InspectSession::captures_changed, this, &CursorBar::refresh_runs);
  connect(&session_, &InspectSession::changed, this, &CursorBar::refresh);
  refresh_runs();
}

void CursorBar::refresh_runs() {
  for (RunChip* chip : run_chips_) {
    chip->hide();
    chip->deleteLater();
  }
  run_chips_.clear();
  const auto& runs = session_.inspection().runs();
  for (std::size_t i = 0; i < std::min(runs.size(), kMostChips); ++i) {
    auto* chip = new RunChip(runs[i].letter, static_cast<int>(i), text_of(runs[i].record.name));
    chip->setToolTip(text_of(runs[i].record.name + ": " + runs[i].record.prompt));
    connect(chip, &RunChip::clicked, this, [this, i] {
      views::InspectCursor at = session_.inspection().cursor();
      at.run = static_cast<int>(i);
      session_.set_cursor(at);
      refresh();
    });
    chips_->addWidget(chip);
    run_chips_.push_back(chip);
  }
  const auto& files = session_.inspection().captures();
  const QString name = files.empty() ? QString("No capture") : text_of(files.front().filename().string());
  captures_->setText(compact_ ? QString() : " " + (files.size() > 1 ? name + " + " + text_of(files[1].filename().string()) : name));
  QString live;
  for (const auto& run : runs) {
    if (run.record.state == "recording") live = QString("recording, %1 of %2 steps").arg(run.steps.size()).arg(run.record.steps);
    if (run.record.state.starts_with("interrupted")) live = text_of(run.record.state);
  }
  live_->setText(live);
  refresh();
}

void CursorBar::refresh() {
  const views::Inspection& inspection = session_.inspection();
  if (inspection.empty()) return;
  const views::InspectCursor& at = inspection.cursor();
  for (std::size_t i = 0; i < run_chips_.size(); ++i) run_chips_[i]->setChecked(static_cast<int>(i) == at.run);
  step_->set_shown(at.step, compact_ ? QString() : session_.step_note());
  step_->setToolTip(session_.step_note());
  layer_->set_shown(at.layer, {});
  head_->set_shown(at.head, {});
  QStringList branches;
  for (const std::string& name : inspection.run(at.run).record.branches) branches << branch_word(name);
  branch_->set_items(branches);
  branch_->set_current(at.branch);
  branch_->setVisible(branches.size() > 1);
  const auto& locked = inspection.locked();
  if (!locked.empty()) {
    const QString more = locked.size() > 1 ? QString(" and %1 more").arg(locked.size() - 1) : QString();
    token_->setText(" Token " + session_.token_name(locked.front()) + more + QString::fromUtf8("  \u2715"));
    token_->setAccessibleName("Locked token " + session_.token_name(locked.front()) + more);
    token_->setFixedWidth(QFontMetrics(Style::current().words(13)).horizontalAdvance(token_->text()) + Style::current().px(40));
  }
  token_->setVisible(!locked.empty());
}

void CursorBar::show_bookmarks() {
  QMenu menu(this);
  QAction* add = menu.addAction("Add a bookmark here\tCtrl+D");
  connect(add, &QAction::triggered, this, [this] {
    const views::InspectCursor& at = session_.inspection().cursor();
    const QString name = QString("Step %1, layer %2, head %3").arg(at.step).arg(at.layer).arg(at.head);
    bool ok = false;
    const QString title = QInputDialog::getText(this, "Bookmark", "Name", QLineEdit::Normal, name, &ok);
    if (ok) session_.add_bookmark(title.isEmpty() ? name : title);
  });
  const auto& marks = session_.bookmarks();
  if (!marks.empty()) menu.addSeparator();
  for (std::size_t i = 0; i < marks.size(); ++i) {
    const QString keys = i < 10 ? QString("\tCtrl+%1").arg((i + 1) % 10) : QString();
    connect(menu.addAction(text_of(marks[i].mark.title) + keys), &QAction::triggered, this, [this, i] { session_.go_to(i); });
  }
  if (!marks.empty()) {
    QMenu* remove = menu.addMenu("Remove");
    for (std::size_t i = 0; i < marks.size(); ++i) {
      connect(remove->addAction(text_of(marks[i].mark.title)), &QAction::triggered, this, [this, i] { session_.remove_bookmark(i); });
    }
  }
  menu.exec(bookmarks_->mapToGlobal(QPoint(0, bookmarks_->height())));
}

void CursorBar::show_captures() {
  QMenu menu(this);
  connect(menu.addAction("Open capture…"), &QAction::triggered, this, [this] { Q_EMIT open_asked(false); });
  QAction* beside = menu.addAction("Open a second capture beside…");
  beside->setEnabled(session_.inspection().captures().size() == 1);
  connect(beside, &QAction::triggered, this, [this] { Q_EMIT open_asked(true); });
  QAction* close = menu.addAction("Close");
  connect(close, &QAction::triggered, this, [this] { QMetaObject::invokeMethod(&session_, &InspectSession::close, Qt::QueuedConnection); });
  menu.exec(captures_->mapToGlobal(QPoint(0, captures_->height())));
}

}  // namespace ditscope::gui
