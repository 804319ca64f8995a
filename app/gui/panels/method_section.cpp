#include "app/gui/panels/method_section.h"

#include <QBoxLayout>
#include <QLabel>
#include <QMenu>
#include <QPainter>
#include <QPushButton>

#include "app/gui/panels/parameter_row.h"
#include "app/gui/style/style.h"
#include "app/gui/widgets/basics.h"
#include "app/gui/widgets/text_of.h"
#include "core/catalog/step_caches.h"
#include "views/state/words.h"

namespace ditscope::gui {
namespace {

/// A choice without its step cache.
MethodChoice without_step_cache(MethodChoice choice) {
  if (find_method(choice.key).step_cache.empty()) return choice;
  choice.key.erase(choice.key.rfind('+'));
  std::erase_if(choice.parameters, [](const auto& parameter) { return parameter.first.starts_with("cache_"); });
  return choice;
}

/// A choice with the step cache of `other`, where that has one.
MethodChoice with_step_cache_of(MethodChoice choice, const MethodChoice& other) {
  const std::string& cache = find_method(other.key).step_cache;
  if (cache.empty()) return choice;
  choice.key += "+" + cache;
  for (const auto& [key, value] : other.parameters) {
    if (key.starts_with("cache_")) choice.parameters[key] = value;
  }
  return choice;
}

class Badge : public QWidget {
 public:
  Badge(int run, QWidget* parent) : QWidget(parent), run_(run) {
    const int size = Style::current().px(18);
    setFixedSize(size, size);
    setAccessibleName(QString("Run %1").arg(QChar('A' + run)));
  }

 protected:
  void paintEvent(QPaintEvent*) override {
    const Style& style = Style::current();
    QPainter painter(this);
    painter.setRenderHint(QPainter::Antialiasing);
    painter.setPen(Qt::NoPen);
    painter.setBrush(style.run_colour(run_));
    painter.drawRoundedRect(rect(), style.px(3), style.px(3));
    painter.setFont(style.words(11, QFont::DemiBold));
    painter.setPen(style.colour("on_run"));
    painter.drawText(rect(), Qt::AlignCenter, QString(QChar('A' + run_)));
  }

 private:
  int run_;
};

}  // namespace

QWidget* make_badge(int run, QWidget* parent) {
  return new Badge(run, parent);
}

/// The method's name with a chevron; its menu is the catalog.
class MethodButton : public QPushButton {
 public:
  using QPushButton::QPushButton;
};

Fold::Fold(const QString& text, QWidget* parent) : QWidget(parent) {
  const Style& style = Style::current();
  auto* line = new QHBoxLayout(this);
  line->setContentsMargins(0, 0, 0, 0);
  line->setSpacing(style.px(6));
  button_ = make_button(text, "chevron-right", "flat");
  button_->setIcon(style.icon("chevron-right"));
  remark_ = make_label("", "text3");
  remark_->setSizePolicy(QSizePolicy::Ignored, QSizePolicy::Preferred);  // the first to give way
  line->addWidget(button_);
  line->addWidget(remark_, 1);
  connect(button_, &QPushButton::clicked, this, [this] {
    set_open(!open_);
    Q_EMIT toggled(open_);
  });
}

void Fold::set_text(const QString& text, const QString& remark) {
  button_->setText(" " + text);
  button_->setAccessibleName(text);
  remark_->setText(remark);
}

void Fold::resizeEvent(QResizeEvent* event) {
  QWidget::resizeEvent(event);
  remark_->setVisible(width() - button_->sizeHint().width() - layout()->spacing() >= remark_->sizeHint().width());
}

void Fold::set_body(QWidget* body) {
  body_ = body;
  body_->setVisible(open_);
}

void Fold::set_open(bool open) {
  open_ = open;
  button_->setIcon(Style::current().icon(open ? "chevron-down" : "chevron-right"));
  if (body_) body_->setVisible(open);
}

MethodSection::MethodSection(Session& session, std::size_t run, std::size_t main_rows, QWidget* parent)
    : QWidget(parent), session_(session), run_(run), main_rows_(main_rows) {
  const Style& style = Style::current();
  auto* layout = new QVBoxLayout(this);
  layout->setContentsMargins(0, 0, 0, 0);
  layout->setSpacing(style.px(4));
  auto* head = new QHBoxLayout;
  head->setSpacing(style.px(6));
  head->addWidget(make_badge(static_cast<int>(run), this));
  if (run == 0) {
    head->addWidget(make_label(text_of(find_method("full").name), "strong"), 1);
    auto* reference = make_label("reference", "text3");
    reference->setToolTip("The others are measured against it: same prompt, same noise, same sampler.");
    head->addWidget(reference);
    layout->addLayout(head);
    return;
  }
  method_ = new MethodButton;
  method_->setProperty("kind", "flat");
  method_->setLayoutDirection(Qt::RightToLeft);  // the chevron stands behind the name
  method_->setIcon(style.icon("chevron-down"));
  method_->setFont(style.words(13, QFont::DemiBold));
  method_->setStyleSheet(QString("QPushButton { font-size: %1px; font-weight: 600; color: %2; }")
                             .arg(style.px(13))
                             .arg(style.colour("text").name()));
  head->addWidget(method_);
  head->addStretch(1);
  if (run >= 2) {
    auto* remove = make_icon_button("close", QString("Remove method %1").arg(QChar('A' + static_cast<int>(run))), "text3");
    connect(remove, &QToolButton::clicked, this, [this] { session_.remove_method(run_); });
    head->addWidget(remove);
  }
  help_ = make_icon_button("help", "About this method");
  reset_ = make_icon_button("undo", "Reset every parameter of this method");
  head->addWidget(help_);
  head->addWidget(reset_);
  layout->addLayout(head);
  connect(method_, &QPushButton::clicked, this, [this] {
    QMenu menu(this);
    menu.setToolTipsVisible(true);
    for (const MethodEntry& entry : methods()) {
      QAction* action = menu.addAction(text_of(entry.name));
      action->setToolTip(text_of(entry.summary));
      const std::string key = entry.key;
      connect(action, &QAction::triggered, this, [this, key] {
        session_.edit("", [&](PairRequest& pair) { pair.methods.at(run_) = with_step_cache_of({key, {}}, pair.methods.at(run_)); });
      });
    }
    menu.addSeparator();
    QMenu* reuse = menu.addMenu("Reuse across steps");
    reuse->setToolTipsVisible(true);
    const std::string now = find_method(session_.request().methods.at(run_).key).step_cache;
    const auto add_cache = [&](const std::string& key, const QString& name, const QString& about) {
      QAction* action = reuse->addAction(name);
      action->setToolTip(about);
      action->setCheckable(true);
      action->setChecked(key == now);
      connect(action, &QAction::triggered, this, [this, key] {
        session_.edit("", [&](PairRequest& pair) {
          const MethodChoice base = without_step_cache(pair.methods.at(run_));
          pair.methods.at(run_) = key.empty() ? base : MethodChoice{base.key + "+" + key, base.parameters};
        });
      });
    };
    add_cache("", "None", "Every step computes every block.");
    for (const StepCacheEntry& entry : step_caches()) add_cache(entry.key, text_of(entry.name), text_of(entry.summary));
    menu.exec(method_->mapToGlobal(QPoint(0, method_->height())));
  });
  connect(reset_, &QToolButton::clicked, this,
          [this] { session_.edit("", [&](PairRequest& pair) { pair.methods.at(run_).parameters.clear(); }); });
  connect(help_, &QToolButton::clicked, this, [this] { session_.say(Message::Kind::Note, help_->property("about").toString()); });
  rows_layout_ = new QVBoxLayout;
  rows_layout_->setSpacing(style.px(4));
  layout->addLayout(rows_layout_);
}

void MethodSection::rebuild_rows(const MethodEntry& entry) {
  clear_layout(rows_layout_);
  rows_.clear();
  const Style& style = Style::current();
  shown_key_ = entry.key;
  achieved_ = make_label("", "achieved");
  achieved_->setWordWrap(true);
  achieved_->setStyleSheet(
      QString("color: %1; font-size: %2px;").arg(style.run_colour(static_cast<int>(run_)).name()).arg(style.px(11)));
  achieved_->hide();
  defaults_ = make_label("", "note");
  defaults_->setWordWrap(true);
  more_ = new QWidget;
  more_layout_ = new QVBoxLayout(more_);
  more_layout_->setContentsMargins(0, 0, 0, 0);
  more_layout_->setSpacing(style.px(4));
  bool said_achieved = false;
  for (std::size_t i = 0; i < entry.parameters.size(); ++i) {
    auto* row = new ParameterRow(entry.parameters[i]);
    rows_.push_back(row);
    const std::string key = row->key();
    connect(row, &ParameterRow::changed, this, [this, key](const ParameterValue& value) { set_parameter(key, value); });
    connect(row, &ParameterRow::reset, this, [this, key] { reset_parameter(key); });
    connect(row, &ParameterRow::gesture_ended, this, [this] { session_.end_gesture(); });
    (i < main_rows_ ? rows_layout_ : more_layout_)->addWidget(row);
    if (row->is_ratio() && !said_achieved) {
      rows_layout_->addWidget(achieved_);
      said_achieved = true;
    }
  }
  if (!said_achieved) rows_layout_->addWidget(achieved_);
  const int more = static_cast<int>(entry.parameters.size()) - static_cast<int>(main_rows_);
  if (more > 0) {
    fold_ = new Fold("");
    fold_->set_body(more_);
    rows_layout_->addWidget(fold_);
    rows_layout_->addWidget(more_);
  } else {
    fold_ = nullptr;
    rows_layout_->addWidget(more_);
    more_->hide();
  }
  rows_layout_->addWidget(defaults_);
}

void MethodSection::set_parameter(const std::string& key, const ParameterValue& value) {
  session_.edit(QString("parameter %1 %2").arg(run_).arg(text_of(key)),
                [&](PairRequest& pair) { pair.methods.at(run_).parameters[key] = value; });
}

void MethodSection::reset_parameter(const std::string& key) {
  session_.edit("", [&](PairRequest& pair) { pair.methods.at(run_).parameters.erase(key); });
}

void MethodSection::refresh() {
  if (run_ == 0 || run_ >= session_.request().methods.size()) return;
  const MethodChoice& choice = session_.request().methods[run_];
  const MethodEntry& entry = find_method(choice.key);
  if (entry.key != shown_key_) rebuild_rows(entry);
  method_->setText(text_of(entry.name));
  method_->setAccessibleName(QString("Method %1: %2").arg(QChar('A' + static_cast<int>(run_))).arg(text_of(entry.name)));
  const QString about =
      text_of(entry.name) + ": " + text_of(entry.summary) + (entry.paper.empty() ? "" : "  " + text_of(entry.paper));
  help_->setProperty("about", about);
  help_->setToolTip(tooltip_text(text_of(entry.name), text_of(entry.summary), {}, text_of(entry.paper)));
  reset_->setEnabled(!choice.parameters.empty());

  MethodChoice standard = standard_of(choice.key), used = standard;
  for (const auto& [key, value] : choice.parameters) used.parameters[key] = value;
  int at_default = 0;
  for (std::size_t i = 0; i < rows_.size(); ++i) {
    const std::string& key = rows_[i]->key();
    rows_[i]->show_value(used.parameters.at(key), standard.parameters.at(key));
    if (i >= main_rows_ && !choice.parameters.contains(key)) ++at_default;
  }
  if (fold_) {
    const int more = static_cast<int>(rows_.size() - main_rows_);
    const QString count = more == 1 ? QString("1 more parameter") : QString("%1 more parameters").arg(more);
    fold_->set_text(at_default == more ? count + (more == 1 ? ", at its default" : ", at their defaults") : count);
  }
  const auto& model = session_.model();
  defaults_->setText(model ? text_of(defaults_note(choice, model->published_as, model->name)) : QString());
  defaults_->setVisible(!defaults_->text().isEmpty());
  refresh_achieved(choice);
}

MethodChoice MethodSection::standard_of(const std::string& key) const {
  const int steps = std::max(1, session_.request().base.steps);
  const std::string model = session_.model() ? session_.model()->published_as : "";
  return resolve(with_published(MethodChoice{key, {}}, model, steps), steps);
}

void MethodSection::refresh_achieved(const MethodChoice& choice) {
  std::optional<KeptRatio> kept;
  if (const auto& shown = session_.shown(); shown && run_ < shown->runs.size()) {
    const RunView& run = *shown->runs[run_];
    // Only what belongs to these very settings is achieved by them.
    if (run.state == RunState::Done && run.result && run.result->request.method.key == choice.key) {
      MethodChoice used = standard_of(choice.key);
      for (const auto& [key, value] : choice.parameters) used.parameters[key] = value;
      if (used.parameters == run.result->request.method.parameters) kept = run.result->kept_ratio;
    }
  }
  bool has_ratio = false;
  for (ParameterRow* row : rows_) {
    row->show_achieved(kept ? std::optional(kept->achieved) : std::nullopt, Style::current().run_colour(static_cast<int>(run_)));
    has_ratio = has_ratio || row->is_ratio();
  }
  achieved_->setVisible(kept && has_ratio);
  if (kept) {
    achieved_->setText(
        QString("▾ achieved %1 on sparse steps, %2 over the run")
            .arg(text_of(views::percent_text(kept->achieved)), text_of(views::percent_text(kept->schedule_average))));
    achieved_->setToolTip("Text is always kept, and full steps count: both add to what was asked.");
  }
}

}  // namespace ditscope::gui
