#include "app/gui/panels/capture_dialog.h"

#include <QBoxLayout>
#include <QFormLayout>
#include <QLabel>
#include <QLineEdit>
#include <QPushButton>

#include "app/gui/session.h"
#include "app/gui/style/style.h"
#include "app/gui/widgets/basics.h"
#include "app/gui/widgets/text_of.h"
#include "kernels/error.h"
#include "views/state/words.h"

namespace ditscope::gui {
namespace {

QString text_of_set(const IndexSet& set) { return set.empty() ? QString() : text_of(set.text()); }

QString text_of_budget(std::int64_t bytes) {
  if (bytes == 0) return "0";
  return bytes % (std::int64_t{1} << 20) == 0 ? QString("%1 MiB").arg(bytes >> 20) : QString("%1 B").arg(bytes);
}

}  // namespace

CaptureDialog::CaptureDialog(Session& session, QWidget* parent) : QDialog(parent), session_(session) {
  const Style& style = Style::current();
  setWindowTitle("What the capture keeps");
  setObjectName("captureDialog");
  setAttribute(Qt::WA_DeleteOnClose);
  setMinimumWidth(style.px(440));
  auto* layout = new QVBoxLayout(this);
  layout->setContentsMargins(style.px(16), style.px(16), style.px(16), style.px(12));
  layout->setSpacing(style.px(12));
  const RecordingWish& wish = session_.request().recording;
  auto* form = new QFormLayout;
  form->setLabelAlignment(Qt::AlignLeft);
  form->setSpacing(style.px(8));
  layers_ = field("Layers kept whole", text_of_set(wish.layers), "none; all, every:4 or 0,3-5");
  steps_ = field("At the steps", text_of_set(wish.steps), "none; all, every:5 or 8,17");
  shadow_ = field("Shadow passes at", text_of_set(wish.shadow), "none; all or 12,20-");
  budget_ = field("Never more than", text_of_budget(wish.budget_bytes), "1 GiB; 0: no limit");
  layers_->setToolTip(tooltip_text("Layers kept whole", "q, k, v and exact maps of these layers at these steps: exact rows and tiles without a replay."));
  shadow_->setToolTip(tooltip_text("Shadow passes", "At these steps full attention runs beside the method's and measures true rho, recall and error of every row. "
                                                    "Its time is no part of the run's."));
  form->addRow("Layers kept whole", layers_);
  form->addRow("At the steps", steps_);
  form->addRow("Shadow passes at", shadow_);
  form->addRow("Never more than", budget_);
  layout->addLayout(form);
  size_ = make_label("", "note");
  problem_ = make_label("", "warn");
  for (QLabel* label : {size_, problem_}) {
    label->setWordWrap(true);
    layout->addWidget(label);
  }
  problem_->hide();
  auto* buttons = new QHBoxLayout;
  auto* cancel = make_button("Cancel", {}, "tall");
  ok_ = make_button("Keep this", {}, "primary");
  ok_->setDefault(true);
  buttons->addStretch(1);
  buttons->addWidget(cancel);
  buttons->addWidget(ok_);
  layout->addLayout(buttons);
  connect(cancel, &QPushButton::clicked, this, &QDialog::reject);
  connect(ok_, &QPushButton::clicked, this, &CaptureDialog::take);
  connect(&session_, &Session::derived_changed, this, &CaptureDialog::refresh);
  refresh();
}

QLineEdit* CaptureDialog::field(const char* name, const QString& value, const QString& hint) {
  auto* edit = new QLineEdit(value);
  edit->setAccessibleName(name);
  edit->setPlaceholderText(hint);
  return edit;
}

void CaptureDialog::refresh() {
  if (session_.capture_bytes() > 0) {
    size_->setText(QString("As the request stands the capture takes at most %1 before compression. What does not fit is left out and listed.")
                       .arg(text_of(views::size_text(session_.capture_bytes()))));
  }
}

void CaptureDialog::take() {
  RecordingWish wish;
  try {
    const auto list = [](const QLineEdit* edit, const QLineEdit* other) {
      const QString text = edit->text().trimmed();
      // One of the two alone means all of the other.
      if (text.isEmpty()) return IndexSet(other && !other->text().trimmed().isEmpty() ? "all" : "none");
      return IndexSet(text.toStdString());
    };
    wish.layers = list(layers_, steps_);
    wish.steps = list(steps_, layers_);
    wish.shadow = list(shadow_, nullptr);
    wish.budget_bytes = parse_bytes(budget_->text().trimmed().toStdString());
  } catch (const Error& error) {
    problem_->setText(text_of(error.what()));
    problem_->show();
    return;
  }
  session_.edit("", [&](PairRequest& pair) { pair.recording = wish; });
  accept();
}

}  // namespace ditscope::gui
