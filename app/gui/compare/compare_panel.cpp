#include "app/gui/compare/compare_panel.h"

#include <QBoxLayout>
#include <QLabel>
#include <QPushButton>
#include <QSettings>
#include <QStackedWidget>
#include <algorithm>
#include <cmath>

#include "app/gui/compare/compare_view.h"
#include "app/gui/compare/scrubber.h"
#include "app/gui/compare/time_plot.h"
#include "app/gui/panels/results_table.h"
#include "app/gui/style/style.h"
#include "app/gui/widgets/basics.h"
#include "app/gui/widgets/number_field.h"
#include "app/gui/widgets/text_of.h"
#include "views/state/words.h"

namespace ditscope::gui {
namespace {

using views::CompareMode;

QString method_name(const MethodChoice& method) {
  try {
    return text_of(find_method(method.key).name);
  } catch (const Error&) {
    return text_of(method.key);
  }
}

/// What a run has to show: its frames, or with `previews` the newest preview of the predicted clean video.
Clip clip_of(const RunView& run, bool previews) {
  Clip clip;
  clip.name = method_name(run.method);
  if (!previews && run.result && !run.result->frames.empty()) {
    clip.frames = std::shared_ptr<const Frames>(run.result, &run.result->frames);
    clip.seconds = text_of(views::seconds_text(run.result->seconds));
  } else if (previews && !run.previews.empty() && !run.previews.back()->empty()) {
    clip.frames = run.previews.back();
    clip.seconds = QString("preview, step %1").arg(run.steps.empty() ? 0 : run.steps.back().index);
  } else if (run.state == RunState::Stopped) {
    clip.seconds = QString("stopped at step %1").arg(run.steps.size());
  } else if (run.state == RunState::Failed) {
    clip.seconds = "failed";
  } else if (run.state == RunState::Waiting) {
    clip.seconds = "waits";
  }
  return clip;
}

}  // namespace

ComparePanel::ComparePanel(Session& session, bool compact, QWidget* parent)
    : QWidget(parent), session_(session), compact_(compact), view_(new CompareView) {
  auto* layout = new QVBoxLayout(this);
  layout->setContentsMargins(0, 0, 0, 0);
  layout->setSpacing(0);
  layout->addWidget(header_ = build_header());
  layout->addWidget(mode_bar_ = build_mode_bar());
  stack_ = new QStackedWidget;
  auto* frame = new QWidget;
  auto* inside = new QVBoxLayout(frame);
  const int gap = Style::current().px(8);
  inside->setContentsMargins(gap, 0, gap, 0);
  inside->addWidget(view_);
  stack_->addWidget(frame);
  empty_ = make_label("", "body");
  empty_->setAlignment(Qt::AlignCenter);
  empty_->setWordWrap(true);
  stack_->addWidget(empty_);
  plot_ = new TimePlot;
  stack_->addWidget(plot_);
  connect(plot_, &TimePlot::sought, this, [this](int frame) {
    views::Playback playback = views::seek(view_->playback(), frame);
    playback.playing = false;
    view_->set_playback(playback);
  });
  layout->addWidget(stack_, 1);
  layout->addWidget(transport_ = build_transport());
  results_ = new ResultsTable(compact);
  layout->addWidget(results_);

  views::CompareState state = view_->state();
  state.mode = static_cast<CompareMode>(QSettings()
                                            .value(compact_ ? "compare/modeCompact" : "compare/mode",
                                                   static_cast<int>(compact_ ? CompareMode::SideBySide : CompareMode::Triple))
                                            .toInt());
  view_->set_state(state);
  connect(view_, &CompareView::state_changed, this, &ComparePanel::refresh_state);
  connect(view_, &CompareView::frame_changed, this, &ComparePanel::refresh_frame);
  connect(view_, &CompareView::gl_failed, this, [this](const QString& problem) { session_.say(Message::Kind::Error, problem); });
  connect(view_, &CompareView::zoom_changed, this, &ComparePanel::refresh_zoom);
  connect(&session_, &Session::shown_changed, this, &ComparePanel::refresh_clips);
  connect(&session_, &Session::snapshot_changed, this, [this] {
    if (!session_.shown()) refresh_clips();
  });
  refresh_clips();
}

QWidget* ComparePanel::build_header() {
  const Style& style = Style::current();
  auto* header = new QWidget;
  header->setObjectName("dockHeader");
  header->setAttribute(Qt::WA_StyledBackground);
  header->setFixedHeight(style.px(28));
  auto* line = new QHBoxLayout(header);
  line->setContentsMargins(0, 0, style.px(12), 0);
  line->setSpacing(style.px(8));
  for (const char* title : {"Compare", "Difference over time"}) {
    const int index = static_cast<int>(tabs_.size());
    auto* tab = make_button(title, {}, "tab");
    tab->setCheckable(true);
    tab->setChecked(index == 0);
    connect(tab, &QPushButton::clicked, this, [this, index] { set_tab(index); });
    tabs_.push_back(tab);
    line->addWidget(tab);
  }
  line->setSpacing(0);
  live_ = make_label("", "text2");
  line->addSpacing(style.px(8));
  line->addWidget(live_);
  line->addStretch(1);
  job_ = make_label("", "number");
  remark_ = make_label("", "text2");
  line->addWidget(job_);
  line->addSpacing(style.px(8));
  line->addWidget(remark_);
  return header;
}

QWidget* ComparePanel::build_mode_bar() {
  const Style& style = Style::current();
  auto* bar = new QWidget;
  bar->setObjectName("panel");
  bar->setAttribute(Qt::WA_StyledBackground);
  bar->setFixedHeight(style.px(40));
  auto* line = new QHBoxLayout(bar);
  line->setContentsMargins(style.px(8), 0, style.px(8), 0);
  line->setSpacing(style.px(8));
  modes_ = new Segments("Compare mode");
  QStringList names;
  for (int i = 0; i < (compact_ ? 5 : 6); ++i) names << views::compare_mode_name(static_cast<CompareMode>(i));
  modes_->set_items(names);
  for (int i = 0; i < 5; ++i) modes_->button(i)->setToolTip(QString("Key %1").arg(i + 1));
  line->addWidget(modes_);
  connect(modes_, &Segments::chosen, this, &ComparePanel::choose_mode);
  against_ = new Segments("Against A");
  connect(against_, &Segments::chosen, this, [this](int index) {
    view_->set_second(index + 1);
    refresh_clips();
  });
  line->addWidget(against_);

  line->addSpacing(style.px(8));
  third_label_ = make_label("third pane", "text2");
  third_ = new ChoiceButton("Third pane");
  std::vector<ChoiceButton::Item> thirds;
  for (int i = 0; i < 3; ++i) {
    thirds.push_back({views::third_pane_name(static_cast<views::ThirdPane>(i)), "",
                      [this, i] {
                        views::CompareState state = view_->state();
                        state.third = static_cast<views::ThirdPane>(i);
                        view_->set_state(state);
                      },
                      true, false, ""});
  }
  third_->set_items(std::move(thirds));
  difference_ = new ChoiceButton("Difference");
  std::vector<ChoiceButton::Item> differences;
  for (int i = 0; i < 4; ++i) {
    differences.push_back({views::difference_mode_name(static_cast<views::DifferenceMode>(i)), "",
                           [this, i] {
                             views::CompareState state = view_->state();
                             state.difference = static_cast<views::DifferenceMode>(i);
                             view_->set_state(state);
                           },
                           true, false, ""});
  }
  difference_->set_items(std::move(differences));
  difference_->setToolTip("Key 0: the next one");
  line->addWidget(third_label_);
  line->addWidget(third_);
  line->addWidget(difference_);

  shift_block_ = new QWidget;
  auto* shift_line = new QHBoxLayout(shift_block_);
  shift_line->setContentsMargins(0, 0, 0, 0);
  shift_line->setSpacing(style.px(6));
  shift_line->addWidget(make_label("frame shift B", "text2"));
  shift_ = new NumberField("Frame shift of B");
  shift_->set_range({-100, 100, 1, 0});
  shift_->setFixedWidth(style.px(44));
  shift_line->addWidget(shift_);
  line->addWidget(shift_block_);
  connect(shift_, &NumberField::changed, this, [this](double value) {
    views::CompareState state = view_->state();
    state.shift_b = static_cast<int>(value);
    view_->set_state(state);
  });
  line->addStretch(1);

  fit_ = make_button("Fit", "fit", "flat");
  fit_->setToolTip("Key F; Ctrl+0 shows one image pixel on one screen pixel");
  zoom_ = make_label("", "number3");
  connect(fit_, &QPushButton::clicked, view_, &CompareView::fit);
  line->addWidget(fit_);
  line->addWidget(zoom_);
  save_ = make_button("Save…", "save");
  save_->setToolTip("Ctrl+S");
  connect(save_, &QPushButton::clicked, this, &ComparePanel::save);
  line->addWidget(save_);
  return bar;
}

QWidget* ComparePanel::build_transport() {
  const Style& style = Style::current();
  auto* bar = new QWidget;
  bar->setObjectName("panel");
  bar->setAttribute(Qt::WA_StyledBackground);
  bar->setFixedHeight(style.px(44));
  auto* line = new QHBoxLayout(bar);
  line->setContentsMargins(style.px(8), style.px(4), style.px(14), style.px(4));
  line->setSpacing(style.px(8));
  auto* back = make_icon_button("step-back", "One frame back (,)", "text");
  play_ = make_icon_button("play", "Play (Space)", "text");
  auto* forward = make_icon_button("step-forward", "One frame on (.)", "text");
  loop_ = make_icon_button("loop", "Loop", "accent");
  for (QToolButton* button : {back, play_, forward, loop_}) line->addWidget(button);
  for (QToolButton* button : {back, play_, forward}) button->setProperty("kind", "raised");
  speed_ = make_button("1 ×");
  speed_->setFont(style.numbers(12));
  speed_->setAccessibleName("Speed");
  speed_->setToolTip("Playback speed");
  line->addWidget(speed_);
  frame_ = make_label("", "number");
  frame_->setMinimumWidth(style.px(96));
  seconds_ = make_label("", "number3");
  line->addWidget(frame_);
  line->addWidget(seconds_);
  scrubber_ = new Scrubber;
  line->addWidget(scrubber_, 1);
  range_ = make_label("", "text2");
  line->addWidget(range_);
  connect(back, &QToolButton::clicked, this, [this] { step(-1); });
  connect(forward, &QToolButton::clicked, this, [this] { step(1); });
  connect(play_, &QToolButton::clicked, this, &ComparePanel::toggle_play);
  connect(loop_, &QToolButton::clicked, this, [this] {
    views::Playback playback = view_->playback();
    playback.loop = static_cast<views::Playback::Loop>((static_cast<int>(playback.loop) + 1) % 3);
    playback.direction = 1;
    view_->set_playback(playback);
  });
  connect(speed_, &QPushButton::clicked, this, [this] { view_->set_playback(views::next_speed(view_->playback())); });
  connect(scrubber_, &Scrubber::sought, this, [this](int frame) {
    views::Playback playback = views::seek(view_->playback(), frame);
    playback.playing = false;
    view_->set_playback(playback);
  });
  return bar;
}

std::shared_ptr<const JobView> ComparePanel::source() const {
  return session_.shown() ? session_.shown() : session_.snapshot()->running;
}

int ComparePanel::runs_shown() const {
  const auto job = source();
  return job ? static_cast<int>(std::min<std::size_t>(4, job->runs.size())) : 2;
}

void ComparePanel::refresh_clips() {
  const auto job = source();
  std::array<Clip, 4> clips;
  // While it runs, previews of all runs: they are smaller than frames, and the panes of one view share one size.
  const bool previews = !session_.shown();
  for (int i = 0; job && i < runs_shown(); ++i) {
    clips[static_cast<std::size_t>(i)] = clip_of(*job->runs[static_cast<std::size_t>(i)], previews);
  }
  const bool had = view_->has_clip();
  if (view_->second() >= runs_shown()) view_->set_second(std::max(1, runs_shown() - 1));
  view_->set_clips(clips);
  const bool has = view_->has_clip();
  const bool reduced = QSettings().value("motion").toString() == "reduced";
  if (has && !had && !reduced) {
    views::Playback playback = view_->playback();
    playback.playing = true;
    view_->set_playback(playback);
  }
  plot_->show_job(session_.shown());
  stack_->setCurrentIndex(!has ? 1 : tab_ == 0 ? 0 : 2);
  empty_->setText(session_.busy() ? "The first preview comes after the first step."
                                  : "No run is shown. Generate makes one; a card of the history brings one back.");
  transport_->setEnabled(has);
  mode_bar_->setEnabled(has);
  results_->setVisible(session_.shown() != nullptr);
  live_->setText(!session_.shown() && has ? "x̂₀: the predicted clean video while it runs" : "");
  if (job) {
    job_->setText(QString("#%1").arg(job->job.id));
    QString noise;
    bool same = job->runs.size() > 1;
    for (const auto& run : job->runs) {
      const QString hash = run->result ? text_of(run->result->noise_hash) : QString();
      if (hash.isEmpty()) same = false;
      if (noise.isEmpty()) noise = hash;
      same = same && hash == noise;
    }
    remark_->setText(QString("seed %1%2").arg(job->job.pair.base.seed).arg(same ? ", same noise" : ""));
  } else {
    job_->clear();
    remark_->clear();
  }
  modes_->button(1)->setText(QString(QChar('A' + view_->second())));
  against_->setVisible(runs_shown() > 2);
  if (runs_shown() > 2) {
    QStringList names;
    for (int i = 1; i < runs_shown(); ++i) names << QString("against %1").arg(QChar('A' + i));
    against_->set_items(names);
    against_->set_current(view_->second() - 1);
  }
  std::vector<double> curve;
  if (session_.shown() && view_->second() < static_cast<int>(job->runs.size())) {
    const auto& metrics = job->runs[static_cast<std::size_t>(view_->second())]->metrics;
    if (metrics) curve = metrics->psnr_per_frame;
  }
  scrubber_->show_clip(view_->playback().frames, curve);
  if (curve.empty()) {
    range_->clear();
  } else {
    const auto [low, high] = std::minmax_element(curve.begin(), curve.end());
    range_->setText(compact_ ? number_span(QString("%1–%2 dB").arg(*low, 0, 'f', 1).arg(*high, 0, 'f', 1))
                             : "PSNR per frame, " + number_span(QString("%1–%2 dB").arg(*low, 0, 'f', 1).arg(*high, 0, 'f', 1)));
  }
  results_->show_job(session_.shown().get(), view_->second());
  refresh_state();
  refresh_frame(view_->playback().frame());
}

void ComparePanel::refresh_state() {
  const views::CompareState& state = view_->state();
  const views::Playback& playback = view_->playback();
  const Style& style = Style::current();
  modes_->set_current(static_cast<int>(state.mode));
  third_label_->setVisible(state.mode == CompareMode::Triple && !compact_);
  third_->setVisible(state.mode == CompareMode::Triple);
  third_->set_shown(views::third_pane_name(state.third));
  const bool difference =
      state.mode == CompareMode::Difference || (state.mode == CompareMode::Triple && state.third == views::ThirdPane::Difference);
  difference_->setVisible(difference);
  difference_->set_shown(views::difference_mode_name(state.difference));
  shift_->set_value(state.shift_b);
  play_->setIcon(style.icon(playback.playing ? "pause" : "play", "text"));
  play_->setChecked(playback.playing);
  play_->setToolTip(playback.playing ? "Pause (Space)" : "Play (Space)");
  static const char* kLoops[] = {"once", "loop", "ping-pong"};
  static const char* kLoopNames[] = {"Plays once", "Loops", "There and back"};
  loop_->setIcon(
      style.icon(kLoops[static_cast<int>(playback.loop)], playback.loop == views::Playback::Loop::Once ? "text2" : "accent"));
  loop_->setToolTip(kLoopNames[static_cast<int>(playback.loop)]);
  loop_->setAccessibleName(kLoopNames[static_cast<int>(playback.loop)]);
  speed_->setText(QString("%1 ×").arg(playback.speed));
}

void ComparePanel::refresh_frame(int frame) {
  const views::Playback& playback = view_->playback();
  frame_->setText(playback.frames > 0 ? QString("frame %1 / %2").arg(frame).arg(playback.frames - 1) : "");
  seconds_->setText(playback.frames > 0 ? QString("%1 s").arg(playback.seconds(), 0, 'f', 2) : "");
  scrubber_->show_frame(frame);
  plot_->show_frame(frame);
}

void ComparePanel::set_tab(int tab) {
  tab_ = tab;
  for (std::size_t i = 0; i < tabs_.size(); ++i) tabs_[i]->setChecked(static_cast<int>(i) == tab);
  mode_bar_->setVisible(tab == 0);
  refresh_clips();
}

void ComparePanel::refresh_zoom() {
  zoom_->setText(QString("%1 ×").arg(view_->zoom(), 0, 'f', view_->zoom() < 10 ? 1 : 0));
}

void ComparePanel::choose_mode(int index) {
  views::CompareState state = view_->state();
  const auto mode = static_cast<CompareMode>(index);
  // Wipe again turns the line.
  if (mode == CompareMode::Wipe && state.mode == CompareMode::Wipe) state.wipe_horizontal = !state.wipe_horizontal;
  state.mode = mode;
  view_->set_state(state);
  QSettings().setValue(compact_ ? "compare/modeCompact" : "compare/mode", index);
}

void ComparePanel::next_difference() {
  views::CompareState state = view_->state();
  state.difference = views::next_difference(state.difference);
  view_->set_state(state);
}

void ComparePanel::swap() {
  views::CompareState state = view_->state();
  state.swapped = !state.swapped;
  view_->set_state(state);
}

void ComparePanel::toggle_play() {
  view_->set_playback(views::toggle(view_->playback()));
}

void ComparePanel::step(int by) {
  view_->set_playback(views::step_frames(view_->playback(), by));
}

void ComparePanel::set_bare(bool bare) {
  if (bare && tab_ != 0) set_tab(0);
  for (QWidget* part : {header_, mode_bar_, transport_}) part->setVisible(!bare);
  results_->setVisible(!bare && session_.shown());
}

}  // namespace ditscope::gui
