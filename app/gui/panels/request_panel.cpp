#include "app/gui/panels/request_panel.h"

#include <QBoxLayout>
#include <QLabel>
#include <QMenu>
#include <QPlainTextEdit>
#include <QPushButton>
#include <QScrollArea>
#include <QSignalBlocker>

#include "app/gui/panels/capture_dialog.h"
#include "app/gui/panels/memory_bar.h"
#include "app/gui/panels/method_section.h"
#include "app/gui/style/style.h"
#include "app/gui/widgets/basics.h"
#include "app/gui/widgets/number_field.h"
#include "app/gui/widgets/text_of.h"
#include "core/training/world/caption.h"
#include "views/state/words.h"

namespace ditscope::gui {
namespace {

QPlainTextEdit* make_text_field(const QString& name, int height) {
  auto* field = new QPlainTextEdit;
  field->setTabChangesFocus(true);
  field->setFixedHeight(Style::current().px(height));
  field->setAccessibleName(name);
  return field;
}

void set_text(QPlainTextEdit* field, const std::string& text) {
  const QString wanted = text_of(text);
  if (field->toPlainText() == wanted) return;
  const QSignalBlocker quiet(field);
  field->setPlainText(wanted);
  field->moveCursor(QTextCursor::End);
}

}  // namespace

RequestPanel::RequestPanel(Session& session, bool first_run, QWidget* parent)
    : QWidget(parent), session_(session), first_run_(first_run) {
  const Style& style = Style::current();
  setAccessibleName("Request");
  auto* layout = new QVBoxLayout(this);
  layout->setContentsMargins(0, 0, 0, 0);
  layout->setSpacing(0);
  auto* scroll = new QScrollArea;
  scroll->setWidgetResizable(true);
  scroll->setHorizontalScrollBarPolicy(Qt::ScrollBarAlwaysOff);
  scroll->setFocusPolicy(Qt::NoFocus);
  auto* content = new QWidget;
  content->setObjectName("requestBody");
  content->setSizePolicy(QSizePolicy::Ignored, QSizePolicy::Preferred);  // as wide as the dock, never wider
  auto* body = new QVBoxLayout(content);
  body->setContentsMargins(0, style.px(10), 0, style.px(12));
  body->setSpacing(style.px(8));
  build_prompt(body);
  body->addWidget(make_line());
  build_settings(body);
  body->addWidget(make_line());
  build_methods(body);
  body->addStretch(1);
  scroll->setWidget(content);
  layout->addWidget(scroll, 1);
  layout->addWidget(make_line());
  layout->addWidget(build_footer());

  connect(&session_, &Session::request_changed, this, &RequestPanel::refresh);
  connect(&session_, &Session::shown_changed, this, &RequestPanel::refresh);
  connect(&session_, &Session::model_changed, this, &RequestPanel::refresh_model);
  connect(&session_, &Session::derived_changed, this, &RequestPanel::refresh_derived);
  connect(&session_, &Session::history_changed, this, &RequestPanel::refresh_derived);
  refresh_model();
  refresh();
  refresh_derived();
}

void RequestPanel::build_prompt(QVBoxLayout* body) {
  const Style& style = Style::current();
  auto* block = new QVBoxLayout;
  block->setContentsMargins(style.px(12), 0, style.px(12), 0);
  block->setSpacing(style.px(6));
  auto* head = new QHBoxLayout;
  head->addWidget(make_label("Prompt", "text2"), 1);
  tokens_ = make_label("", "number3");
  tokens_->setFont(style.numbers(11));
  head->addWidget(tokens_);
  block->addLayout(head);
  prompt_ = make_text_field("Prompt", first_run_ ? 74 : 58);
  prompt_->setObjectName("prompt");
  prompt_->setPlaceholderText("What the video shows");
  block->addWidget(prompt_);
  connect(prompt_, &QPlainTextEdit::textChanged, this, [this] {
    session_.edit("prompt", [&](PairRequest& pair) { pair.base.prompt = prompt_->toPlainText().toStdString(); });
  });
  auto* below = new QHBoxLayout;
  below->setSpacing(style.px(4));
  if (first_run_) {
    examples_ = make_button("Other example", "dice", "flat");
    words_ = make_button("Known words", "help", "flat");
    words_->setLayoutDirection(Qt::RightToLeft);
    below->addWidget(examples_);
    below->addStretch(1);
    below->addWidget(words_);
    connect(examples_, &QPushButton::clicked, this, &RequestPanel::next_example);
    connect(words_, &QPushButton::clicked, this, &RequestPanel::show_known_words);
  } else {
    negative_fold_ = new Fold("Negative prompt");
    auto* history = make_button("Prompt history", "clock", "flat");
    connect(history, &QPushButton::clicked, this, &RequestPanel::show_prompt_history);
    below->addWidget(negative_fold_, 1);
    below->addWidget(history);
  }
  block->addLayout(below);
  if (!first_run_) {
    QWidget* negative = build_negative();
    negative_fold_->set_body(negative);
    block->addWidget(negative);
  }
  body->addLayout(block);
}

QWidget* RequestPanel::build_negative() {
  negative_ = make_text_field("Negative prompt", 42);
  negative_->setPlaceholderText("What it should not show; acts through guidance");
  connect(negative_, &QPlainTextEdit::textChanged, this, [this] {
    session_.edit("negative prompt",
                  [&](PairRequest& pair) { pair.base.negative_prompt = negative_->toPlainText().toStdString(); });
  });
  return negative_;
}

QWidget* RequestPanel::form_row(const QString& name, std::vector<QWidget*> fields) {
  const Style& style = Style::current();
  auto* row = new QWidget;
  auto* layout = new QHBoxLayout(row);
  layout->setContentsMargins(0, 0, 0, 0);
  layout->setSpacing(style.px(8));
  if (!name.isEmpty()) {
    auto* label = make_label(name, "text2");
    label->setFixedWidth(style.px(58));
    layout->addWidget(label);
  }
  for (QWidget* field : fields) layout->addWidget(field, 1);
  return row;
}

void RequestPanel::build_settings(QVBoxLayout* body) {
  const Style& style = Style::current();
  model_ = new ChoiceButton("Model");
  size_ = new ChoiceButton("Clip size");
  frames_ = new ChoiceButton("Frames");
  sampler_ = new ChoiceButton("Sampler");
  steps_ = new NumberField("Steps");
  steps_->set_range({1, 1000, 1, 0});
  steps_->set_unit("steps");
  seed_ = new NumberField("Seed");
  seed_->set_range({0, 9007199254740991.0, 1, 0});
  auto* dice = make_icon_button("dice", "Another seed");
  lock_ = make_icon_button("lock", "Keep this seed", "accent");
  lock_->setCheckable(true);
  seed_->add_button(dice);
  seed_->add_button(lock_);
  guidance_ = new NumberField("Guidance");
  guidance_->set_range({0, 30, 0.5, 1});
  guidance_->set_prefix("guidance");
  guidance_->setToolTip(tooltip_text("Guidance",
                                     "How far the prompt pulls away from the negative prompt. 1 and below: no guidance, "
                                     "and each step takes half the time.",
                                     "e = e_uncond + g (e_cond - e_uncond)"));

  auto* block = new QVBoxLayout;
  block->setContentsMargins(style.px(12), 0, style.px(12), 0);
  block->setSpacing(style.px(6));
  block->addWidget(form_row("Model", {model_}));
  block->addWidget(form_row("Clip", {size_, frames_}));
  if (first_run_) {
    block->addWidget(form_row("Seed", {seed_, steps_}));
    auto* fold = new Fold("Sampler, guidance, negative prompt");
    auto* more = new QWidget;
    auto* inside = new QVBoxLayout(more);
    inside->setContentsMargins(0, 0, 0, 0);
    inside->setSpacing(style.px(6));
    inside->addWidget(form_row("Sampler", {sampler_}));
    inside->addWidget(form_row("", {guidance_}));
    inside->addWidget(build_negative());
    fold->set_body(more);
    block->addWidget(fold);
    block->addWidget(more);
  } else {
    block->addWidget(form_row("Sampler", {sampler_, steps_}));
    block->addWidget(form_row("Seed", {seed_, guidance_}));
    capture_ = new Segments("Capture");
    capture_->set_items({"off", "summary", "full"});
    capture_->setToolTip(tooltip_text("Capture",
                                      "Records every step, layer and head into a .ditcap file for the Inspect workspace. Summary: figures, masks "
                                      "and small maps, at most 5 % of the time. Full: exact maps of full and refresh steps too."));
    capture_note_ = make_label("", "note");
    capture_note_->setObjectName("captureNote");
    capture_note_->setTextInteractionFlags(Qt::LinksAccessibleByMouse | Qt::LinksAccessibleByKeyboard);
    capture_note_->setToolTip(tooltip_text("Size", "What the capture takes at most, before compression. Press it to say what it keeps: q, k and v of layers and steps, "
                                                   "shadow passes, how large it may grow."));
    connect(capture_note_, &QLabel::linkActivated, this, [this] { (new CaptureDialog(session_, window()))->open(); });
    block->addWidget(form_row("Capture", {capture_, capture_note_}));
    connect(capture_, &Segments::chosen, this, [this](int level) {
      session_.edit("", [&](PairRequest& pair) { pair.capture = static_cast<CaptureOptions::Level>(level); });
    });
  }
  problem_ = make_label("", "warn");
  problem_->setWordWrap(true);
  problem_->hide();
  block->addWidget(problem_);
  body->addLayout(block);

  connect(steps_, &NumberField::changed, this, [this](double value) {
    session_.edit("steps", [&](PairRequest& pair) { pair.base.steps = static_cast<int>(value); });
  });
  connect(seed_, &NumberField::changed, this, [this](double value) {
    session_.edit("seed", [&](PairRequest& pair) { pair.base.seed = static_cast<std::uint64_t>(value); });
  });
  connect(guidance_, &NumberField::changed, this,
          [this](double value) { session_.edit("guidance", [&](PairRequest& pair) { pair.base.guidance_scale = value; }); });
  for (NumberField* field : {steps_, seed_, guidance_}) {
    connect(field, &NumberField::finished, this, [this] { session_.end_gesture(); });
  }
  connect(dice, &QToolButton::clicked, this, [this] { session_.roll_seed(); });
  connect(lock_, &QToolButton::clicked, this, [this](bool on) { session_.set_seed_locked(on); });

  std::vector<ChoiceButton::Item> samplers;
  for (const SchedulerEntry& entry : schedulers()) {
    const std::string key = entry.key;
    samplers.push_back({text_of(entry.name), "",
                        [this, key] { session_.edit("", [&](PairRequest& pair) { pair.base.scheduler = key; }); }, true, false,
                        text_of(entry.summary)});
  }
  sampler_->set_items(std::move(samplers));
}

void RequestPanel::build_methods(QVBoxLayout* body) {
  const Style& style = Style::current();
  auto* block = new QVBoxLayout;
  block->setContentsMargins(style.px(12), style.px(2), style.px(12), 0);
  block->setSpacing(style.px(10));
  methods_ = new QVBoxLayout;
  methods_->setSpacing(style.px(10));
  block->addLayout(methods_);
  add_method_ = make_button("Add method C", "plus", "dashed");
  connect(add_method_, &QPushButton::clicked, this, [this] { session_.add_method(); });
  block->addWidget(add_method_);
  body->addLayout(block);
}

QWidget* RequestPanel::build_footer() {
  const Style& style = Style::current();
  auto* footer = new QWidget;
  footer->setObjectName("panel");
  footer->setAttribute(Qt::WA_StyledBackground);
  auto* layout = new QVBoxLayout(footer);
  layout->setContentsMargins(style.px(12), style.px(8), style.px(12), style.px(12));
  layout->setSpacing(style.px(6));
  memory_ = new MemoryBar;
  layout->addWidget(memory_);
  auto* line = new QHBoxLayout;
  time_ = make_label("", "note");
  time_figure_ = make_label("", "note");
  line->addWidget(time_, 1);
  line->addWidget(time_figure_);
  layout->addLayout(line);
  auto* buttons = new QHBoxLayout;
  buttons->setSpacing(style.px(8));
  generate_ = make_button("Generate A and B", "play", "primary");
  generate_->setObjectName("generate");
  generate_->setMinimumWidth(style.px(150));
  generate_->setToolTip("Ctrl+Enter");
  queue_ = make_button("Queue", {}, "tall");
  queue_->setToolTip("Puts this request at the end of the queue");
  buttons->addWidget(generate_, 1);
  if (!first_run_) buttons->addWidget(queue_);
  layout->addLayout(buttons);
  connect(generate_, &QPushButton::clicked, this, [this] { Q_EMIT generate(false); });
  connect(queue_, &QPushButton::clicked, this, [this] { Q_EMIT generate(true); });
  return footer;
}

void RequestPanel::refresh() {
  const PairRequest& pair = session_.request();
  const Request& base = pair.base;
  set_text(prompt_, base.prompt);
  set_text(negative_, base.negative_prompt);
  if (negative_fold_) {
    negative_fold_->set_text("Negative prompt", base.negative_prompt.empty() ? "empty" : "");
    if (!base.negative_prompt.empty() && !negative_fold_->is_open()) negative_fold_->set_open(true);
  }
  if (base.width > 0) size_->set_shown(QString("%1 × %2").arg(base.width).arg(base.height), {}, true);
  if (base.frames > 0) frames_->set_shown(QString("%1 frames").arg(base.frames));
  steps_->set_value(base.steps);
  seed_->set_value(static_cast<double>(base.seed));
  guidance_->set_value(base.guidance_scale);
  if (!base.scheduler.empty()) {
    QString name = text_of(base.scheduler);
    for (const SchedulerEntry& entry : schedulers()) {
      if (entry.key == base.scheduler) name = text_of(entry.name);
    }
    sampler_->set_shown(name);
  }
  if (capture_) capture_->set_current(static_cast<int>(pair.capture));
  lock_->setChecked(session_.seed_locked());
  lock_->setIcon(Style::current().icon(session_.seed_locked() ? "lock" : "unlock", session_.seed_locked() ? "accent" : "text2"));
  lock_->setToolTip(session_.seed_locked() ? "The seed stays. Click for another seed with every run"
                                           : "Another seed with every run. Click to keep this one");

  while (sections_.size() > pair.methods.size()) {
    sections_.back()->deleteLater();
    sections_.back()->hide();
    sections_.pop_back();
  }
  while (sections_.size() < pair.methods.size()) {
    sections_.push_back(new MethodSection(session_, sections_.size(), first_run_ ? 1 : 5, this));
    methods_->addWidget(sections_.back());
  }
  for (MethodSection* section : sections_) section->refresh();
  refresh_button();
  add_method_->setText(QString(" Add method %1").arg(QChar('A' + static_cast<int>(pair.methods.size()))));
  add_method_->setVisible(pair.methods.size() < 4);
}

void RequestPanel::refresh_button() {
  static const char* kNames[] = {"Generate A", "Generate A and B", "Generate A to C", "Generate A to D"};
  const QString name = kNames[std::min<std::size_t>(3, session_.request().methods.size() - 1)];
  // The key is written on the button where there is room; the tooltip always has it.
  const QString with_keys = " " + name + "   Ctrl+Enter";
  const int room = generate_->width() - Style::current().px(36);
  generate_->setText(generate_->fontMetrics().horizontalAdvance(with_keys) <= room ? with_keys : " " + name);
  generate_->setAccessibleName(name);
}

void RequestPanel::resizeEvent(QResizeEvent* event) {
  QWidget::resizeEvent(event);
  refresh_button();
}

void RequestPanel::refresh_model() {
  const auto& info = session_.model();
  std::vector<ChoiceButton::Item> items;
  items.push_back({"Bundled model", "", [this] { session_.open_model({}); }, true, false, "Works offline, on a CPU"});
  bool separator = true;
  for (const QString& folder : session_.recent_models()) {
    items.push_back(
        {folder.section('/', -1), "", [this, folder] { session_.open_model(folder.toStdString()); }, true, separator, folder});
    separator = false;
  }
  items.push_back({"Open folder…", "", [this] { Q_EMIT open_folder(); }, true, true, "A diffusers folder of CogVideoX"});
  model_->set_items(std::move(items));
  if (!info) {
    model_->set_shown("none", session_.model_problem().isEmpty() ? "looking" : "open a folder");
    return;
  }
  model_->set_shown(text_of(info->name), info->bundled ? "bundled" : text_of(info->family));
  model_->setToolTip(tooltip_text(text_of(info->name),
                                  QString("%1: %2 layers, %3 heads of %4, %5 million parameters.")
                                      .arg(text_of(info->family))
                                      .arg(info->layers)
                                      .arg(info->heads)
                                      .arg(info->head_dim)
                                      .arg(info->parameters / 1e6, 0, 'f', 1),
                                  {}, text_of(info->folder.string())));
  refresh_sizes(*info);
  if (words_) words_->setVisible(info->bundled);
  if (examples_) examples_->setVisible(info->bundled);
}

void RequestPanel::refresh_sizes(const ModelInfo& info) {
  std::vector<ChoiceButton::Item> sizes, counts;
  for (const auto& [width, height] : info.sizes) {
    sizes.push_back({QString("%1 × %2").arg(width).arg(height), "",
                     [this, width = width, height = height] {
                       session_.edit("", [&](PairRequest& pair) {
                         pair.base.width = width;
                         pair.base.height = height;
                       });
                     },
                     true, false, ""});
  }
  for (const int frames : info.frame_counts) {
    counts.push_back({QString("%1 frames").arg(frames), QString("%1 s").arg(frames / std::max(1.0, info.fps), 0, 'f', 1),
                      [this, frames] { session_.edit("", [&](PairRequest& pair) { pair.base.frames = frames; }); }, true, false,
                      ""});
  }
  size_->set_items(std::move(sizes));
  frames_->set_items(std::move(counts));
  const QString sizes_rule = info.fixed_size ? QString("Positions are learned: only this size works.")
                                             : QString("Multiples of %1 px.").arg(info.size_multiple);
  size_->setToolTip(sizes_rule);
  frames_->setToolTip(QString("%1 n + 1 frames%2.")
                          .arg(info.frame_multiple)
                          .arg(info.max_frames > 0 ? QString(", at most %1").arg(info.max_frames) : QString()));
}

void RequestPanel::refresh_derived() {
  const auto& info = session_.model();
  tokens_->setVisible(info && session_.tokens() >= 0);
  if (info && session_.tokens() >= 0) {
    const int most =
        session_.request().base.max_sequence_length > 0 ? session_.request().base.max_sequence_length : info->max_text_tokens;
    const bool over = session_.tokens() > most;
    tokens_->setText(QString("%1 of %2 tokens").arg(session_.tokens()).arg(most));
    set_role(tokens_, over ? "warn" : "number3");
    tokens_->setToolTip(over ? "The model reads only the first tokens; the rest of the prompt is cut off."
                             : "Pieces of words as the model's tokenizer makes them, the closing one included.");
  }
  if (capture_note_) {
    const double megabytes = static_cast<double>(session_.capture_bytes()) / 1e6;
    const bool on = session_.request().capture != CaptureOptions::Level::Off;
    const QString size = "at most " + number_span(QString::number(megabytes, 'f', megabytes < 10 ? 1 : 0)) + " MB";
    capture_note_->setText(on && megabytes > 0 ? QString("<a href='keep' style='color:%1'>%2</a>").arg(Style::current().colour("accent").name(), size) : QString());
  }
  QString problem = session_.request_problem();
  if (problem.isEmpty() && info && info->bundled) {
    QStringList unknown;
    for (const std::string& word : world::unknown_words(session_.request().base.prompt)) unknown << text_of(word);
    if (!unknown.isEmpty()) problem = "The bundled model was not trained on: " + unknown.mid(0, 6).join(", ") + ".";
  }
  problem_->setVisible(!problem.isEmpty());
  problem_->setText(problem);
  generate_->setEnabled(info.has_value());
  queue_->setEnabled(info.has_value());
  memory_->show_bytes(session_.bytes());
  if (const auto estimate = session_.time_estimate()) {
    double sum = 0;
    QStringList parts;
    for (std::size_t i = 0; i < estimate->seconds.size(); ++i) {
      sum += estimate->seconds[i];
      parts << QString("%1 %2").arg(QChar('A' + static_cast<int>(i))).arg(text_of(views::clock_text(estimate->seconds[i])));
    }
    time_->setText(QString("Time, from #%1").arg(estimate->job));
    time_figure_->setText("about <b>" + number_span(text_of(views::clock_text(sum))) + "</b>" +
                          (parts.size() <= 2 ? " " + number_span(parts.join(", ")) : QString()));
  } else {
    time_->setText("Time");
    time_figure_->setText("known after the first run");
  }
}

void RequestPanel::show_prompt_history() {
  QMenu menu(this);
  for (const QString& prompt : session_.prompt_history().mid(0, 20)) {
    QAction* action = menu.addAction(fontMetrics().elidedText(prompt, Qt::ElideRight, Style::current().px(420)));
    connect(action, &QAction::triggered, this,
            [this, prompt] { session_.edit("", [&](PairRequest& pair) { pair.base.prompt = prompt.toStdString(); }); });
  }
  if (menu.isEmpty()) menu.addAction("No prompts yet. Every run adds its own.")->setEnabled(false);
  menu.exec(QCursor::pos());
}

void RequestPanel::next_example() {
  const std::vector<std::string> prompts = world::example_prompts();
  if (prompts.empty()) return;
  const std::string prompt = prompts[static_cast<std::size_t>(example_++) % prompts.size()];
  session_.edit("", [&](PairRequest& pair) { pair.base.prompt = prompt; });
}

void RequestPanel::show_known_words() {
  QStringList words;
  for (const std::string& word : world::vocabulary()) words << text_of(word);
  session_.say(Message::Kind::Note, "The bundled model was trained on these words: " + words.join(", ") + ".");
}

}  // namespace ditscope::gui
