#include "app/gui/docks/running_dock.h"

#include <QBoxLayout>
#include <QLabel>
#include <QListWidget>
#include <QPushButton>
#include <algorithm>

#include "app/gui/docks/step_strip.h"
#include "app/gui/style/style.h"
#include "app/gui/widgets/basics.h"
#include "app/gui/widgets/text_of.h"
#include "views/state/words.h"

namespace ditscope::gui {
namespace {

QString method_names(const PairRequest& pair) {
  QStringList names;
  for (const MethodChoice& method : pair.methods) {
    try {
      names << text_of(find_method(method.key).name);
    } catch (const Error&) {
      names << text_of(method.key);
    }
  }
  return names.join(", ");
}

}  // namespace

RunningPage::RunningPage(Session& session, QWidget* parent) : QWidget(parent), session_(session) {
  const Style& style = Style::current();
  tools_ = new QWidget;
  auto* line = new QHBoxLayout(tools_);
  line->setContentsMargins(0, 0, 0, 0);
  line->setSpacing(style.px(8));
  clock_ = make_label("", "number");
  pause_ = make_button("Pause", "pause");
  decode_ = make_button("Stop and decode");
  decode_->setToolTip("Ends here and decodes the predicted clean video as it stands");
  stop_ = make_button("Stop   Esc", "stop");
  stop_->setObjectName("stop");
  stop_->setAccessibleName("Stop");
  stop_->setToolTip("Esc, or Ctrl+. from everywhere. The latents are kept.");
  for (QPushButton* button : {pause_, decode_, stop_}) {
    button->setStyleSheet(QString("min-height: %1px; font-size: %2px;").arg(style.px(20)).arg(style.px(12)));
  }
  line->addWidget(clock_);
  for (QPushButton* button : {pause_, decode_, stop_}) line->addWidget(button);
  connect(pause_, &QPushButton::clicked, this, [this] { session_.pause_or_go_on(); });
  connect(decode_, &QPushButton::clicked, this, [this] { session_.stop_and_decode(); });
  connect(stop_, &QPushButton::clicked, this, [this] { session_.stop(); });

  auto* layout = new QHBoxLayout(this);
  layout->setContentsMargins(style.px(12), style.px(6), 0, style.px(6));
  layout->setSpacing(style.px(12));
  auto* left = new QVBoxLayout;
  left->setSpacing(style.px(2));
  preview_ = new QLabel;
  preview_->setFixedSize(style.px(104), style.px(88));
  preview_->setAlignment(Qt::AlignCenter);
  preview_->setAccessibleName("Preview of the predicted clean video");
  caption_ = make_label("", "ticks");
  left->addWidget(preview_);
  left->addWidget(caption_);
  left->addStretch(1);
  layout->addLayout(left);
  auto* right = new QVBoxLayout;
  right->setSpacing(0);
  name_ = make_label("", "");
  name_->setFont(style.words(12, QFont::DemiBold));
  right->addWidget(name_);
  strip_ = new StepStrip;
  right->addWidget(strip_, 1);
  layout->addLayout(right, 1);

  timer_.setInterval(500);
  connect(&timer_, &QTimer::timeout, this, &RunningPage::refresh_clock);
  connect(&session_, &Session::snapshot_changed, this, &RunningPage::refresh);
  connect(&session_, &Session::shown_changed, this, &RunningPage::refresh);
  refresh();
}

void RunningPage::refresh() {
  const Style& style = Style::current();
  const auto snapshot = session_.snapshot();
  const bool busy = snapshot->running != nullptr;
  // While nothing runs, the steps of the last run that is shown stay readable.
  const auto job = busy ? snapshot->running : session_.shown();
  std::size_t run = 0;
  if (job) run = busy ? std::min(job->current(), job->runs.size() - 1) : job->runs.size() - 1;
  for (QPushButton* button : {pause_, decode_, stop_}) button->setVisible(busy);
  pause_->setText(snapshot->paused ? " Resume" : " Pause");
  pause_->setIcon(style.icon(snapshot->paused ? "play" : "pause", "text"));
  if (!job) {
    name_->clear();
    caption_->clear();
    preview_->clear();
    preview_->setStyleSheet(QString("background: %1;").arg(style.colour("view").name()));
    strip_->show_run(nullptr, 0, -1);
    refresh_clock();
    return;
  }
  const RunView& view = *job->runs[run];
  const QString colour = style.run_colour(static_cast<int>(run)).name();
  const QString method = method_names({{}, {view.method}});
  name_->setText(QString("<span style='color:%1'>#%2 %3 %4</span>")
                     .arg(colour)
                     .arg(job->job.id)
                     .arg(QChar('A' + static_cast<int>(run)))
                     .arg(method));
  const bool running = busy && view.state == RunState::Running;
  strip_->show_run(job, run, running ? static_cast<int>(view.steps.size()) : -1);
  preview_->setStyleSheet(QString("background: %1; border: 2px solid %2;").arg(style.colour("view").name(), colour));
  std::shared_ptr<const Frames> frames;
  if (view.result && !view.result->frames.empty()) {
    frames = std::shared_ptr<const Frames>(view.result, &view.result->frames);
  } else if (!view.previews.empty()) {
    frames = view.previews.back();
  }
  if (frames && !frames->empty()) {
    const QSize room = preview_->size() - QSize(4, 4);
    const double ratio = devicePixelRatioF();
    QPixmap pixmap = QPixmap::fromImage(image_of(*frames, frames->count / 2))
                         .scaled(room * ratio, Qt::KeepAspectRatio, Qt::SmoothTransformation);
    pixmap.setDevicePixelRatio(ratio);
    preview_->setPixmap(pixmap);
  } else {
    preview_->clear();
  }
  caption_->setText(view.result && !view.result->frames.empty() ? "decoded"
                    : view.steps.empty()                        ? "x̂₀"
                                                                : QString("x̂₀, step %1").arg(view.steps.back().index));
  if (busy && !snapshot->paused && !timer_.isActive()) timer_.start();
  refresh_clock();
}

void RunningPage::refresh_clock() {
  const auto snapshot = session_.snapshot();
  if (!snapshot->running) {
    timer_.stop();
    clock_->clear();
    return;
  }
  const double passed =
      snapshot->paused ? 0 : std::chrono::duration<double>(std::chrono::steady_clock::now() - snapshot->taken).count();
  QString text = text_of(views::clock_text(snapshot->elapsed_seconds + passed)) + " elapsed";
  if (snapshot->paused) {
    text = "paused";
  } else if (snapshot->remaining_seconds > 0) {
    text += ", about " + text_of(views::clock_text(std::max(0.0, snapshot->remaining_seconds - passed))) + " left";
    const std::size_t after =
        snapshot->running->runs.size() - 1 - std::min(snapshot->running->current(), snapshot->running->runs.size() - 1);
    if (after > 0) text += after == 1 ? ", then 1 more run" : QString(", then %1 more runs").arg(after);
  }
  clock_->setText(text);
}

QueuePage::QueuePage(Session& session, QWidget* parent) : QWidget(parent), session_(session) {
  const Style& style = Style::current();
  auto* layout = new QHBoxLayout(this);
  layout->setContentsMargins(style.px(12), style.px(6), style.px(12), style.px(6));
  list_ = new QListWidget;
  list_->setObjectName("queueList");
  list_->setAccessibleName("Waiting requests");
  empty_ = make_label("Nothing waits. Queue puts the request on the left in line.", "text3");
  empty_->setAlignment(Qt::AlignCenter);
  layout->addWidget(empty_, 1);
  layout->addWidget(list_, 1);
  auto* buttons = new QVBoxLayout;
  up_ = make_button("Sooner", "up");
  down_ = make_button("Later", "down");
  remove_ = make_button("Remove", "close");
  for (QPushButton* button : {up_, down_, remove_}) buttons->addWidget(button);
  buttons->addStretch(1);
  layout->addLayout(buttons);
  const auto with_current = [this](auto action) {
    if (const QListWidgetItem* item = list_->currentItem()) action(item->data(Qt::UserRole).toLongLong());
  };
  connect(up_, &QPushButton::clicked, this,
          [this, with_current] { with_current([this](std::int64_t id) { session_.move_job(id, -1); }); });
  connect(down_, &QPushButton::clicked, this,
          [this, with_current] { with_current([this](std::int64_t id) { session_.move_job(id, 1); }); });
  connect(remove_, &QPushButton::clicked, this,
          [this, with_current] { with_current([this](std::int64_t id) { session_.remove_job(id); }); });
  connect(&session_, &Session::snapshot_changed, this, &QueuePage::refresh);
  refresh();
}

void QueuePage::refresh() {
  const auto snapshot = session_.snapshot();
  const qint64 chosen = list_->currentItem() ? list_->currentItem()->data(Qt::UserRole).toLongLong() : 0;
  bool same = list_->count() == static_cast<int>(snapshot->waiting.size());
  for (int i = 0; same && i < list_->count(); ++i) {
    same = list_->item(i)->data(Qt::UserRole).toLongLong() == snapshot->waiting[static_cast<std::size_t>(i)].id;
  }
  if (!same) {
    list_->clear();
    for (const Job& job : snapshot->waiting) {
      auto* item = new QListWidgetItem(QString("#%1  %2  (%3, %4 steps, seed %5)")
                                           .arg(job.id)
                                           .arg(text_of(job.pair.base.prompt), method_names(job.pair))
                                           .arg(job.pair.base.steps)
                                           .arg(job.pair.base.seed));
      item->setData(Qt::UserRole, static_cast<qlonglong>(job.id));
      list_->addItem(item);
      if (job.id == chosen) list_->setCurrentItem(item);
    }
    if (!list_->currentItem() && list_->count() > 0) list_->setCurrentRow(0);
  }
  const bool any = !snapshot->waiting.empty();
  list_->setVisible(any);
  empty_->setVisible(!any);
  for (QPushButton* button : {up_, down_, remove_}) button->setVisible(any);
}

}  // namespace ditscope::gui
