#include "app/gui/inspect/tensors_dialog.h"

#include <QFormLayout>
#include <QHBoxLayout>
#include <QLineEdit>
#include <QSettings>
#include <QVBoxLayout>
#include <cmath>

#include "app/gui/session.h"
#include "app/gui/style/style.h"
#include "app/gui/widgets/basics.h"
#include "app/gui/widgets/number_field.h"
#include "app/gui/widgets/text_of.h"
#include "kernels/error.h"

namespace ditscope::gui {
namespace {

/// Fields side by side, as one row of a form.
QWidget* row(std::initializer_list<QWidget*> widgets) {
  auto* holder = new QWidget;
  auto* line = new QHBoxLayout(holder);
  line->setContentsMargins(0, 0, 0, 0);
  line->setSpacing(Style::current().px(8));
  for (QWidget* widget : widgets) line->addWidget(widget);
  return holder;
}

QString text_of_shape(const std::vector<std::int64_t>& s) {
  return QString("%1 steps, %2 in the batch, %3 heads, %4 tokens of width %5").arg(s[0]).arg(s[1]).arg(s[2]).arg(s[3]).arg(s[4]);
}

}  // namespace

TensorsDialog::TensorsDialog(Session& session, const std::filesystem::path& tensors, std::vector<std::int64_t> shape, QWidget* parent)
    : QDialog(parent), session_(session), tensors_(tensors), shape_(std::move(shape)) {
  const Style& style = Style::current();
  setWindowTitle("Try a method on tensors");
  setObjectName("tensorsDialog");
  setMinimumWidth(style.px(460));
  auto* layout = new QVBoxLayout(this);
  layout->setContentsMargins(style.px(16), style.px(16), style.px(16), style.px(12));
  layout->setSpacing(style.px(12));
  layout->addWidget(make_label(text_of(tensors.filename().string()), "title"));
  layout->addWidget(make_label(text_of_shape(shape_), "text2"));

  methods_ = new ChoiceButton("Method");
  std::vector<ChoiceButton::Item> items;
  for (const MethodEntry& entry : methods())
    items.push_back({text_of(entry.name), text_of(entry.key), [this, key = entry.key] { set_method(text_of(key)); }, true, false, text_of(entry.summary)});
  methods_->set_items(std::move(items));
  parameters_ = new QLineEdit;
  parameters_->setAccessibleName("Parameters");
  parameters_->setPlaceholderText("kept_ratio=0.1,warmup_steps=1; empty: defaults");
  frames_ = number("Frames", 1, 1);
  rows_ = number("Rows", 1, 1);
  columns_ = number("Columns", 1, static_cast<double>(shape_[3]));
  text_ = number("Text tokens", 0, 0);
  text_place_ = new Segments("Where the text stands");
  text_place_->set_items({"first", "last"});
  text_place_->set_current(0);
  branches_ = new Segments("Guidance branches in the batch");
  branches_->set_items({"one", "two, unconditional first"});
  two_branches_ = shape_[1] == 2;
  branches_->set_current(two_branches_ ? 1 : 0);
  branches_->setEnabled(shape_[1] % 2 == 0);
  first_step_ = number("First step", 0, 0);
  total_steps_ = number("Steps of the whole run", 1, static_cast<double>(shape_[0]));
  auto* form = new QFormLayout;
  form->setLabelAlignment(Qt::AlignLeft);
  form->setSpacing(style.px(8));
  form->addRow("Method", methods_);
  form->addRow("Parameters", parameters_);
  form->addRow("Frames, rows, columns", row({frames_, rows_, columns_}));
  form->addRow("Text tokens", row({text_, text_place_}));
  form->addRow("Branches", branches_);
  form->addRow("First step, of", row({first_step_, total_steps_}));
  layout->addLayout(form);
  fields_ = {methods_, parameters_, frames_, rows_, columns_, text_, text_place_, branches_, first_step_, total_steps_};
  sum_ = make_label("", "text2");
  layout->addWidget(sum_);
  progress_ = make_label("All pairs are held against full attention; the file itself is not changed.", "note");
  progress_->setWordWrap(true);
  layout->addWidget(progress_);
  auto* buttons = new QHBoxLayout;
  run_ = make_button("Run and inspect", {}, "primary");
  cancel_ = make_button("Cancel", {}, "tall");
  run_->setDefault(true);
  buttons->addStretch(1);
  buttons->addWidget(cancel_);
  buttons->addWidget(run_);
  layout->addLayout(buttons);

  for (NumberField* field : {frames_, rows_, columns_, text_, first_step_, total_steps_}) connect(field, &NumberField::changed, this, &TensorsDialog::refresh);
  connect(text_place_, &Segments::chosen, this, [this](int index) { text_first_ = index == 0; });
  connect(branches_, &Segments::chosen, this, [this](int index) { two_branches_ = index == 1; });
  connect(run_, &QPushButton::clicked, this, &TensorsDialog::run);
  connect(cancel_, &QPushButton::clicked, this, &TensorsDialog::reject);

  const QSettings settings;
  const QStringList last = settings.value("tensors/grid").toString().split(',');
  if (last.size() == 4) {
    const double tokens = last[0].toDouble() * last[1].toDouble() * last[2].toDouble() + last[3].toDouble();
    if (tokens == static_cast<double>(shape_[3])) set_grid(last[0].toInt(), last[1].toInt(), last[2].toInt(), last[3].toInt());
  }
  set_method(settings.value("tensors/method", "re-ttention").toString());
}

TensorsDialog::~TensorsDialog() {
  stop_ = true;
  if (thread_.joinable()) thread_.join();
}

NumberField* TensorsDialog::number(const char* name, double least, double value) {
  auto* field = new NumberField(name);
  field->set_range({least, 1e6, 1, 0});
  field->set_value(value);
  field->setToolTip(name);
  return field;
}

void TensorsDialog::set_grid(int frames, int rows, int columns, int text_tokens) {
  frames_->set_value(frames);
  rows_->set_value(rows);
  columns_->set_value(columns);
  text_->set_value(text_tokens);
  refresh();
}

void TensorsDialog::set_method(const QString& method) {
  const qsizetype colon = method.indexOf(':');
  try {
    method_ = find_method(method.left(colon < 0 ? method.size() : colon).toStdString()).key;
  } catch (const Error&) {
    method_ = "re-ttention";
  }
  methods_->set_shown(text_of(find_method(method_).name), text_of(method_));
  parameters_->setText(colon < 0 ? QString() : method.mid(colon + 1));
  refresh();
}

void TensorsDialog::refresh() {
  const double visual = frames_->value() * rows_->value() * columns_->value(), tokens = static_cast<double>(shape_[3]);
  const bool fits = visual + text_->value() == tokens;
  const bool in_run = first_step_->value() + static_cast<double>(shape_[0]) <= total_steps_->value();
  QString text = QString("%1 × %2 × %3 + %4 of text = %5 of %6 tokens.")
                     .arg(frames_->value()).arg(rows_->value()).arg(columns_->value()).arg(text_->value())
                     .arg(visual + text_->value(), 0, 'f', 0).arg(tokens, 0, 'f', 0);
  if (!fits) text += " Change the grid or the text.";
  if (!in_run) text += QString(" %1 steps from step %2 do not fit into %3.").arg(shape_[0]).arg(first_step_->value()).arg(total_steps_->value());
  sum_->setText(text);
  set_role(sum_, fits && in_run ? "text2" : "warn");
  run_->setEnabled(fits && in_run && !running_);
}

AttendRequest TensorsDialog::request() const {
  AttendRequest request;
  request.tensors = tensors_;
  request.capture = session_.captures_folder() / (tensors_.stem().string() + "-" + method_ + ".ditcap");
  const std::string parameters = parameters_->text().trimmed().toStdString();
  request.method = parse_method_choice(parameters.empty() ? method_ : method_ + ":" + parameters);
  request.frames = std::llround(frames_->value());
  request.rows = std::llround(rows_->value());
  request.columns = std::llround(columns_->value());
  request.text_tokens = std::llround(text_->value());
  request.text_first = text_first_;
  for (std::int64_t b = 0; two_branches_ && b < shape_[1]; ++b) request.conditional.push_back(b * 2 >= shape_[1]);
  request.first_step = static_cast<int>(first_step_->value());
  request.total_steps = static_cast<int>(total_steps_->value());
  return request;
}

void TensorsDialog::run() {
  AttendRequest request;
  try {
    request = this->request();
    std::filesystem::create_directories(session_.captures_folder());
  } catch (const std::exception& problem) {
    return take_end(QString::fromUtf8(problem.what()));
  }
  QSettings settings;
  settings.setValue("tensors/grid", QString("%1,%2,%3,%4").arg(request.frames).arg(request.rows).arg(request.columns).arg(request.text_tokens));
  settings.setValue("tensors/method", text_of(to_string(request.method)));
  capture_ = request.capture;
  running_ = true;
  stop_ = false;
  for (QWidget* field : fields_) field->setEnabled(false);
  cancel_->setText("Stop");
  set_role(progress_, "note");
  progress_->setText(session_.busy() ? "Waits for the run that is going on." : "Starts.");
  refresh();
  if (thread_.joinable()) thread_.join();
  thread_ = std::thread([this, request] {
    QString problem;
    try {
      const auto goes_on = [this](std::int64_t step) {
        QMetaObject::invokeMethod(this, [this, step] { show_progress(step); }, Qt::QueuedConnection);
        return !stop_;
      };
      session_.attend(request, goes_on, [this] { return stop_.load(); });
    } catch (const std::exception& error) {
      problem = QString::fromUtf8(error.what());
    }
    QMetaObject::invokeMethod(this, [this, problem] { take_end(problem); }, Qt::QueuedConnection);
  });
}

void TensorsDialog::show_progress(std::int64_t step) { progress_->setText(QString("Step %1 of %2.").arg(step + 1).arg(shape_[0])); }

void TensorsDialog::take_end(const QString& problem) {
  running_ = false;
  for (QWidget* field : fields_) field->setEnabled(field != branches_ || shape_[1] % 2 == 0);
  cancel_->setText("Cancel");
  refresh();
  if (problem.isEmpty()) {
    Q_EMIT recorded(text_of(capture_.string()));
    accept();
    return;
  }
  progress_->setText(problem);
  set_role(progress_, stop_ ? "note" : "problem");
}

void TensorsDialog::reject() {
  if (!running_) return QDialog::reject();
  stop_ = true;
  progress_->setText("Stopping after this step.");
}

}  // namespace ditscope::gui
