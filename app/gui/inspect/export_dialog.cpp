#include "app/gui/inspect/export_dialog.h"

#include <QButtonGroup>
#include <QBoxLayout>
#include <QDir>
#include <QFileDialog>
#include <QFileInfo>
#include <QFormLayout>
#include <QSettings>
#include <algorithm>
#include <cmath>

#include "app/gui/inspect/export_menu.h"
#include "app/gui/inspect/view_widget.h"
#include "app/gui/session.h"
#include "app/gui/style/style.h"
#include "app/gui/widgets/basics.h"
#include "app/gui/widgets/number_field.h"
#include "app/gui/widgets/text_of.h"
#include "kernels/error.h"
#include "views/inspect/glyph_fonts.h"

namespace ditscope::gui {
namespace {

enum class Content { Picture, Video, Numbers };
struct Kind {
  const char* name;
  const char* ending;
  Content content;
};
constexpr Kind kKinds[] = {{"PNG", ".png", Content::Picture},         {"SVG", ".svg", Content::Picture}, {"PDF", ".pdf", Content::Picture},
                           {"MP4", ".mp4", Content::Video},           {"GIF", ".gif", Content::Video},   {"CSV", ".csv", Content::Numbers},
                           {"NPY", ".npy", Content::Numbers},         {"NPZ", ".npz", Content::Numbers}, {"safetensors", ".safetensors", Content::Numbers}};
constexpr const char* kOver[] = {"step", "layer", "head"};
constexpr int kLook_ms = 20;

}  // namespace

ExportDialog::ExportDialog(InspectSession& session, ViewWidget& view, QWidget* parent) : QDialog(parent), session_(session), view_(view) {
  const Style& style = Style::current();
  setWindowTitle("Export " + text_of(view.view().info().title));
  setObjectName("exportDialog");
  setAttribute(Qt::WA_DeleteOnClose);
  auto* layout = new QVBoxLayout(this);
  layout->setContentsMargins(style.px(16), style.px(16), style.px(16), style.px(12));
  layout->setSpacing(style.px(12));
  auto* row = new QHBoxLayout;
  row->setSpacing(style.px(2));
  auto* group = new QButtonGroup(this);
  for (int i = 0; i < static_cast<int>(std::size(kKinds)); ++i) {
    auto* button = make_button(kKinds[i].name, {}, "segment");
    button->setCheckable(true);
    group->addButton(button, i);
    row->addWidget(button);
    kinds_.push_back(button);
  }
  row->addStretch(1);
  connect(group, &QButtonGroup::idClicked, this, [this](int index) {
    kind_ = index;
    refresh();
  });
  layout->addLayout(row);

  const auto number = [](const char* name, double least, double most, double value, const char* unit) {
    auto* field = new NumberField(name);
    field->set_range({least, most, 1, 0});
    field->set_unit(unit);
    field->set_value(value);
    return field;
  };
  width_ = number("Width", 16, 32'000, view.width(), "px at 96 dpi");
  height_ = number("Height", 16, 32'000, view.height(), "px at 96 dpi");
  dpi_ = number("Resolution", 24, 1200, 192, "dpi");
  fps_ = number("Pictures a second", 1, 50, 6, "a second");
  over_buttons_ = new Segments("Sweep over");
  over_buttons_->set_items({"steps", "layers", "heads"});
  over_buttons_->set_current(0);
  light_buttons_ = new Segments("Colours");
  light_buttons_->set_items({"as on the screen", "light", "dark"});
  light_buttons_->set_current(0);
  auto* form = new QFormLayout;
  form->setLabelAlignment(Qt::AlignLeft);
  form->setSpacing(style.px(8));
  form->addRow("Width", width_);
  form->addRow("Height", height_);
  form->addRow("Resolution", dpi_);
  form->addRow("Colours", light_buttons_);
  form->addRow("Sweep over", over_buttons_);
  form->addRow("Speed", fps_);
  layout->addLayout(form);
  picture_fields_ = {width_, height_, dpi_, light_buttons_};
  video_fields_ = {over_buttons_, fps_};
  note_ = make_label("", "note");
  note_->setWordWrap(true);
  note_->setMinimumHeight(style.px(34));
  layout->addWidget(note_);
  auto* buttons = new QHBoxLayout;
  cancel_ = make_button("Cancel", {}, "tall");
  export_ = make_button("Export…", {}, "primary");
  export_->setDefault(true);
  buttons->addStretch(1);
  buttons->addWidget(cancel_);
  buttons->addWidget(export_);
  layout->addLayout(buttons);

  for (NumberField* field : {width_, height_, dpi_, fps_}) connect(field, &NumberField::changed, this, &ExportDialog::refresh);
  connect(over_buttons_, &Segments::chosen, this, [this](int index) {
    over_ = index;
    refresh();
  });
  connect(light_buttons_, &Segments::chosen, this, [this](int index) { light_ = index; });
  connect(export_, &QPushButton::clicked, this, &ExportDialog::choose_file);
  connect(cancel_, &QPushButton::clicked, this, &ExportDialog::reject);
  timer_.setInterval(kLook_ms);
  connect(&timer_, &QTimer::timeout, this, &ExportDialog::paint_some);
  set_kind("PNG");
}

ExportDialog::~ExportDialog() = default;

void ExportDialog::set_kind(const QString& kind) {
  for (int i = 0; i < static_cast<int>(std::size(kKinds)); ++i) {
    if (kind == kKinds[i].name) kind_ = i;
  }
  refresh();
}

views::Sheet ExportDialog::sheet() const {
  return {static_cast<int>(width_->value()), static_cast<int>(height_->value()), dpi_->value() / 96, Style::current().text_scale()};
}

views::Theme ExportDialog::theme() const { return light_ == 0 ? Style::current().theme() : views::built_in_theme(light_ == 2); }

void ExportDialog::refresh() {
  const Content content = kKinds[kind_].content;
  kinds_[static_cast<std::size_t>(kind_)]->setChecked(true);
  for (QWidget* field : picture_fields_) field->setEnabled(!sweep_ && content != Content::Numbers);
  const bool pixels = kind_ == 0 || content == Content::Video;
  dpi_->setEnabled(!sweep_ && pixels);
  for (QWidget* field : video_fields_) field->setEnabled(!sweep_ && content == Content::Video);
  for (QPushButton* kind : kinds_) kind->setEnabled(!sweep_);
  export_->setEnabled(!sweep_);
  if (sweep_) {
    note_->setText(QString("Picture %1 of %2.").arg(sweep_->done() + 1).arg(sweep_->count()));
    return;
  }
  const double ratio = dpi_->value() / 96;
  QString text = content == Content::Numbers ? QString("The numbers behind the view, as it shows them.")
                 : pixels ? QString("%1 × %2 pixels").arg(std::lround(width_->value() * ratio)).arg(std::lround(height_->value() * ratio))
                          : QString("%1 × %2 mm, curves and words as such").arg(std::lround(width_->value() * 25.4 / 96)).arg(std::lround(height_->value() * 25.4 / 96));
  if (content == Content::Video) text += QString(", one picture for every captured %1. Exact rows and tiles are replayed for each where the file has none.").arg(kOver[over_]);
  note_->setText(text);
}

void ExportDialog::choose_file() {
  QSettings settings;
  const views::InspectCursor at = session_.cursor_of(view_.id());
  const QString name = QString("%1/%2-step%3-layer%4-head%5%6")
                           .arg(settings.value("save/folder", QDir::homePath()).toString(), text_of(view_.id()))
                           .arg(at.step)
                           .arg(at.layer)
                           .arg(at.head)
                           .arg(kKinds[kind_].ending);
  const QString file = QFileDialog::getSaveFileName(this, QString("Export as %1").arg(kKinds[kind_].name), name);
  if (file.isEmpty()) return;
  settings.setValue("save/folder", QFileInfo(file).absolutePath());
  export_to(file.toStdString());
}

void ExportDialog::export_to(const std::filesystem::path& file) {
  file_ = file;
  try {
    const views::InspectCursor at = session_.cursor_of(view_.id());
    if (kKinds[kind_].content == Content::Video) {
      views::Sweep::expect_video(file);
      sweep_ = std::make_unique<views::Sweep>(session_.inspection(), at, kOver[over_], sheet(), fps_->value());
      refresh();
      timer_.start();
      return;
    }
    if (kKinds[kind_].content == Content::Numbers) {
      export_from(session_, view_, file);
    } else {
      views::export_view(view_.view(), session_.inspection(), at, theme(), sheet(), file);
    }
    end({});
  } catch (const std::exception& problem) {
    end(text_of(problem.what()));
  }
}

void ExportDialog::paint_some() {
  try {
    if (sweep_->done() < sweep_->count()) {
      sweep_->paint_next(view_.view(), session_.inspection(), theme());
      if (sweep_->done() < sweep_->count()) return refresh();
    }
    timer_.stop();
    sweep_->write(file_);
    end({});
  } catch (const std::exception& problem) {
    end(text_of(problem.what()));
  }
}

void ExportDialog::end(const QString& problem) {
  timer_.stop();
  sweep_.reset();
  view_.repaint_soon();
  refresh();
  if (!problem.isEmpty()) {
    note_->setText(problem);
    return;
  }
  session_.session().say(Message::Kind::Note, QString("Saved %1.").arg(text_of(file_.string())));
  Q_EMIT written(text_of(file_.string()));
  accept();
}

void ExportDialog::reject() {
  // The first press ends a video that goes on, the next one the dialog.
  if (sweep_) return end("Stopped; nothing was written.");
  QDialog::reject();
}

}  // namespace ditscope::gui
