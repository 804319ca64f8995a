#include "app/gui/panels/first_run_page.h"

#include <QBoxLayout>
#include <QClipboard>
#include <QDir>
#include <QElapsedTimer>
#include <QGuiApplication>
#include <QLabel>
#include <QPainter>
#include <QPainterPath>
#include <QPointer>
#include <QPushButton>
#include <QScreen>
#include <QScrollArea>
#include <QSettings>
#include <QThreadPool>
#include <algorithm>

#include "app/gui/style/style.h"
#include "app/gui/widgets/basics.h"
#include "app/gui/widgets/text_of.h"
#include "app/gui/widgets/value_slider.h"
#include "app/gui/inspect/recorded_run.h"
#include "core/training/world/caption.h"
#include "core/training/world/renderer.h"
#include "views/inspect/colour_map.h"
#include "views/inspect/inspection.h"
#include "views/state/words.h"

namespace ditscope::gui {
namespace {

constexpr int kPictureHeight_px = 200, kScene_px = 384;

/// Wraps, and takes the height it is given: a label that asks for a height by its width keeps its whole page from stretching.
QLabel* make_wrapped(const QString& text, const char* role) {
  QLabel* label = make_label(text, role);
  label->setWordWrap(true);
  QSizePolicy policy = label->sizePolicy();
  policy.setHeightForWidth(false);
  label->setSizePolicy(policy);
  return label;
}

/// A rounded upper half of a card.
QPainterPath card_top(const QRectF& rect, double radius) {
  QPainterPath path;
  path.setFillRule(Qt::WindingFill);
  path.addRoundedRect(rect, radius, radius);
  path.addRect(rect.adjusted(0, rect.height() / 2, 0, 0));
  return path.simplified();
}

}  // namespace

/// A clip of the bundled model's world, drawn here, under a wipe line: what a pair will look like. The badge says that it is no
/// result.
class PairPicture : public QWidget {
 public:
  PairPicture() {
    setMinimumHeight(Style::current().px(kPictureHeight_px));
    setMaximumHeight(Style::current().px(kPictureHeight_px + 140));
    setSizePolicy(QSizePolicy::Expanding, QSizePolicy::Expanding);
    setAccessibleName("A scene of the bundled model's world");
    setToolTip("A rendered training scene, not a result: yours will be here.");
  }
  QImage image;

 protected:
  void paintEvent(QPaintEvent*) override {
    const Style& style = Style::current();
    QPainter painter(this);
    painter.setRenderHint(QPainter::Antialiasing);
    painter.setRenderHint(QPainter::SmoothPixmapTransform);
    painter.setClipPath(card_top(rect(), style.px(6)));
    painter.fillRect(rect(), style.colour("view"));
    if (!image.isNull()) {
      const double scale = std::max(width() * 1.0 / image.width(), height() * 1.0 / image.height());
      const QSizeF size(image.width() * scale, image.height() * scale);
      painter.drawImage(QRectF((width() - size.width()) / 2, (height() - size.height()) * 0.42, size.width(), size.height()),
                        image);
    }
    painter.fillRect(QRectF(width() / 2.0 - 2, 0, 4, height()), QColor(16, 16, 16, 200));
    painter.fillRect(QRectF(width() / 2.0 - 1, 0, 2, height()), Qt::white);
    for (int run = 0; run < 2; ++run) {
      const int side = style.px(20), pad = style.px(8);
      const QRectF badge(run == 0 ? pad : width() - pad - side, pad, side, side);
      painter.setPen(Qt::NoPen);
      painter.setBrush(style.run_colour(run));
      painter.drawRoundedRect(badge, style.px(3), style.px(3));
      painter.setFont(style.words(12, QFont::DemiBold));
      painter.setPen(style.colour("on_run"));
      painter.drawText(badge, Qt::AlignCenter, QString(QChar('A' + run)));
    }
  }
};

/// Attention maps of four heads of the recorded run, read from it on another thread.
class RecordedPicture : public QWidget {
 public:
  RecordedPicture() {
    setMinimumHeight(Style::current().px(kPictureHeight_px));
    setMaximumHeight(Style::current().px(kPictureHeight_px + 140));
    setSizePolicy(QSizePolicy::Expanding, QSizePolicy::Expanding);
    setAccessibleName("Attention maps of the recorded run");
    QPointer<RecordedPicture> self(this);
    QThreadPool::globalInstance()->start([self, theme = Style::current().theme()] {
      QVector<QImage> images;
      try {
        views::Inspection inspection(views::Inspection::Loading::AtOnce);
        inspection.open(recorded_run());
        const CaptureRun& run = inspection.run(0).record;
        for (int i = 0; i < 4; ++i) {
          const auto map = inspection.map({0, run.steps / 2, (1 + 2 * i) % std::max(run.model.layers, 1), i % std::max(run.model.heads, 1), 0});
          if (!map) continue;
          QImage image(map->cells, map->cells, QImage::Format_RGBA8888);
          views::ColourMap("magma", theme).paint(map->values, {views::ValueScale::Kind::Log10, 1e-6}, {-4.5, -0.7}, image.bits());
          images << image;
        }
      } catch (const std::exception&) {
        images.clear();  // the button says what is missing
      }
      QMetaObject::invokeMethod(
          qApp,
          [self, images] {
            if (!self) return;
            self->images_ = images;
            self->update();
          },
          Qt::QueuedConnection);
    });
  }

 protected:
  void paintEvent(QPaintEvent*) override {
    const Style& style = Style::current();
    QPainter painter(this);
    painter.setRenderHint(QPainter::Antialiasing);
    painter.setClipPath(card_top(rect(), style.px(6)));
    painter.fillRect(rect(), style.colour("view"));
    const int gap = style.px(2);
    for (int i = 0; i < images_.size(); ++i) {
      // The first one large, the others in a column beside it.
      const QRect large(0, 0, width() - height() / 3, height());
      const QRect small(large.right() + gap, (i - 1) * height() / 3, height() / 3 - gap, height() / 3 - gap);
      painter.drawImage(i == 0 ? large : small, images_[i]);
    }
  }

 private:
  QVector<QImage> images_;
};

/// What a model folder has to look like.
class FolderPicture : public QWidget {
 public:
  FolderPicture() {
    setMinimumHeight(Style::current().px(kPictureHeight_px));
    setMaximumHeight(Style::current().px(kPictureHeight_px + 140));
    setSizePolicy(QSizePolicy::Expanding, QSizePolicy::Expanding);
    setAccessibleName("The parts of a model folder");
  }

 protected:
  void paintEvent(QPaintEvent*) override {
    static constexpr const char* kRows[][2] = {
        {"model_index.json", "read first"}, {"transformer", "weights"}, {"text_encoder", "T5"},
        {"tokenizer", "spiece.model"},      {"vae", "decoder"},         {"scheduler", "DDIM"}};
    const Style& style = Style::current();
    QPainter painter(this);
    painter.setRenderHint(QPainter::Antialiasing);
    painter.setClipPath(card_top(rect(), style.px(6)));
    painter.fillRect(rect(), style.colour("view"));
    const int left = style.px(20), row = style.px(22);
    int y = (height() - 7 * row) / 2;
    painter.drawPixmap(left, y + style.px(4), style.pixmap("folder", style.colour("text"), style.px(14), devicePixelRatioF()));
    painter.setFont(style.numbers(12));
    painter.setPen(style.colour("text"));
    painter.drawText(QRect(left + style.px(20), y, width(), row), Qt::AlignVCenter, "CogVideoX-2b");
    for (const auto& [name, role] : kRows) {
      y += row;
      painter.setPen(QPen(style.colour("edge"), 1));
      const int x = left + style.px(8);
      const bool last = name == kRows[5][0];
      painter.drawLine(x, y, x, last ? y + row / 2 : y + row);
      painter.drawLine(x, y + row / 2, x + style.px(6), y + row / 2);
      painter.setPen(style.colour("text"));
      painter.setFont(style.numbers(12));
      painter.drawText(QRect(left + style.px(20), y, width(), row), Qt::AlignVCenter, name);
      painter.setPen(style.colour("text2"));
      painter.setFont(style.words(12));
      painter.drawText(QRect(0, y, width() - style.px(16), row), Qt::AlignVCenter | Qt::AlignRight, role);
    }
  }
};

FirstRunPage::FirstRunPage(Session& session, QWidget* parent) : QWidget(parent), session_(session) {
  const Style& style = Style::current();
  auto* outer = new QVBoxLayout(this);
  outer->setContentsMargins(0, 0, 0, 0);
  auto* scroll = new QScrollArea;
  scroll->setWidgetResizable(true);
  scroll->setFocusPolicy(Qt::NoFocus);
  outer->addWidget(scroll);
  auto* page = new QWidget;
  page->setObjectName("window");
  page->setMaximumWidth(style.px(1200));
  auto* layout = new QVBoxLayout(page);
  layout->setContentsMargins(style.px(28), style.px(22), style.px(28), style.px(20));
  layout->setSpacing(style.px(16));
  layout->addWidget(make_wrapped("See where a video model looks, and what it costs to look away.", "figure"));
  layout->addWidget(make_label("Everything below works offline. Nothing is downloaded unless you ask.", "body"));
  layout->addSpacing(style.px(4));
  auto* cards = new QHBoxLayout;
  cards->setSpacing(style.px(16));
  auto* start = make_button("Generate A and B", "play", "primary");
  connect(start, &QPushButton::clicked, this, &FirstRunPage::generate);
  pair_ = new PairPicture;
  cards->addWidget(make_card(pair_, "Make your first pair",
                             "The same prompt and noise with full and with sparse attention, side by side. "
                             "Step previews from the first second.",
                             start),
                   1);
  auto* recorded = make_button("Open the recorded run", "eye", "tall");
  connect(recorded, &QPushButton::clicked, this, &FirstRunPage::open_recorded);
  cards->addWidget(make_card(new RecordedPicture, "Look inside a recorded run",
                             "Attention maps, masks, denominator drift and outputs of one run, linked. It needs no model and no GPU.", recorded),
                   1);
  auto* choose = make_button("Choose a folder…", "folder", "tall");
  connect(choose, &QPushButton::clicked, this, &FirstRunPage::open_folder);
  cards->addWidget(
      make_card(folder_ = new FolderPicture, "Use your own model",
                "A diffusers folder of CogVideoX: 2B, 5B or 1.5. Other layouts are recognised and explained.", choose),
      1);
  layout->addLayout(cards, 100);
  auto* lower = new QHBoxLayout;
  lower->setSpacing(style.px(16));
  lower->addWidget(build_machine(), 2);
  lower->addWidget(build_reading(), 1);
  layout->addLayout(lower);
  layout->addStretch(1);
  scroll->setWidget(page);
  scroll->setAlignment(Qt::AlignHCenter);

  // The picture is one frame of the procedural world.
  QPointer<FirstRunPage> self(this);
  QThreadPool::globalInstance()->start([self] {
    QImage image;
    const std::vector<std::string> prompts = world::example_prompts();
    if (!prompts.empty()) {
      if (const auto scene = world::parse_caption(prompts.front())) {
        image = QImage(kScene_px, kScene_px, QImage::Format_RGB888);
        std::vector<std::uint8_t> rgb(static_cast<std::size_t>(kScene_px) * kScene_px * 3);
        world::render_frame(*scene, 0.4f, kScene_px, kScene_px, rgb.data());
        for (int y = 0; y < kScene_px; ++y) {
          std::copy_n(rgb.data() + static_cast<std::size_t>(y) * kScene_px * 3, kScene_px * 3, image.scanLine(y));
        }
      }
    }
    QMetaObject::invokeMethod(
        qApp,
        [self, image] {
          if (!self) return;
          self->pair_->image = image;
          self->pair_->update();
        },
        Qt::QueuedConnection);
  });
  connect(&session_, &Session::model_changed, this, &FirstRunPage::refresh_model);
  run_checks();
}

QWidget* FirstRunPage::make_card(QWidget* picture, const QString& title, const QString& text, QWidget* button) {
  const Style& style = Style::current();
  auto* card = new QFrame;
  card->setProperty("role", "card");
  card->setMaximumHeight(style.px(kPictureHeight_px + 140 + 170));
  auto* layout = new QVBoxLayout(card);
  layout->setContentsMargins(0, 0, 0, style.px(14));
  layout->setSpacing(0);
  layout->addWidget(picture, 1);
  auto* words = new QVBoxLayout;
  words->setContentsMargins(style.px(14), style.px(14), style.px(14), 0);
  words->setSpacing(style.px(4));
  words->addWidget(make_label(title, "title"));
  auto* body = make_wrapped(text, "body");
  body->setMinimumHeight(style.px(60));
  body->setAlignment(Qt::AlignTop | Qt::AlignLeft);
  words->addWidget(body);
  words->addSpacing(style.px(10));
  words->addWidget(button);
  layout->addLayout(words);
  return card;
}

QWidget* FirstRunPage::build_machine() {
  const Style& style = Style::current();
  auto* card = new QFrame;
  card->setProperty("role", "card");
  auto* layout = new QVBoxLayout(card);
  layout->setContentsMargins(style.px(16), style.px(12), style.px(16), style.px(14));
  layout->setSpacing(style.px(10));
  auto* head = new QHBoxLayout;
  head->addWidget(make_label("This machine", "title"));
  time_ = make_label("", "text3");
  head->addWidget(time_);
  head->addStretch(1);
  auto* again = make_button("Run again");
  auto* copy = make_button("Copy report");
  head->addWidget(again);
  head->addWidget(copy);
  layout->addLayout(head);
  grid_ = new QGridLayout;
  grid_->setHorizontalSpacing(style.px(10));
  grid_->setVerticalSpacing(style.px(6));
  layout->addLayout(grid_);
  layout->addStretch(1);
  auto* note = new QHBoxLayout;
  note_icon_ = new QLabel;
  note_ = make_wrapped("", "warn");
  note->addWidget(note_icon_);
  note->addWidget(note_, 1);
  layout->addLayout(note);
  connect(again, &QPushButton::clicked, this, &FirstRunPage::run_checks);
  connect(copy, &QPushButton::clicked, this, [this] {
    std::vector<Check> all = checks_;
    all.push_back(gl_check_);
    QGuiApplication::clipboard()->setText(report_of(all, seconds_));
  });
  return card;
}

QWidget* FirstRunPage::build_reading() {
  const Style& style = Style::current();
  auto* card = new QFrame;
  card->setProperty("role", "card");
  auto* layout = new QVBoxLayout(card);
  layout->setContentsMargins(style.px(16), style.px(12), style.px(16), style.px(14));
  layout->setSpacing(style.px(8));
  layout->addWidget(make_label("Reading and light", "title"));
  const auto row = [&](const QString& name) {
    auto* line = new QHBoxLayout;
    auto* label = make_label(name, "text2");
    label->setFixedWidth(style.px(70));
    line->addWidget(label);
    layout->addLayout(line);
    return line;
  };
  auto* scale_row = row("Text scale");
  auto* scale = new ValueSlider("Text scale");
  scale->set_range(0.8, 2.0, 0.1, false);
  scale->set_value(style.text_scale());
  auto* figure = make_label(QString("%1 ×").arg(style.text_scale(), 0, 'f', 1), "number");
  scale_row->addWidget(scale, 1);
  scale_row->addWidget(figure);
  connect(scale, &ValueSlider::moved, this, [figure](double value) { figure->setText(QString("%1 ×").arg(value, 0, 'f', 1)); });
  connect(scale, &ValueSlider::released, this, [this, scale] {
    QSettings().setValue("look/textScale", scale->real_value());
    Q_EMIT look_changed();
  });
  auto* theme_row = row("Theme");
  auto* theme = new Segments("Theme");
  theme->set_items({"System", "Dark", "Light"});
  theme->set_current(static_cast<int>(style.light()));
  theme_row->addWidget(theme);
  theme_row->addStretch(1);
  connect(theme, &Segments::chosen, this, [this](int index) {
    QSettings().setValue("look/light", index);
    Q_EMIT look_changed();
  });
  auto* motion_row = row("Motion");
  auto* motion = new Segments("Motion");
  motion->set_items({"System", "Reduced"});
  motion->set_current(QSettings().value("motion").toString() == "reduced" ? 1 : 0);
  motion->button(1)->setToolTip("Clips play on request only, and holding Shift shows B without flicker");
  motion_row->addWidget(motion);
  motion_row->addStretch(1);
  connect(motion, &Segments::chosen, this, [](int index) { QSettings().setValue("motion", index == 1 ? "reduced" : "system"); });
  layout->addStretch(1);
  return card;
}

void FirstRunPage::run_checks() {
  time_->setText("self-test runs");
  QPointer<FirstRunPage> self(this);
  const QString folder = QDir::tempPath();
  QThreadPool::globalInstance()->start([self, folder] {
    QElapsedTimer timer;
    timer.start();
    const std::vector<Check> checks = run_self_test(folder);
    const double seconds = static_cast<double>(timer.elapsed()) / 1000;
    QMetaObject::invokeMethod(
        qApp,
        [self, checks, seconds] {
          if (!self) return;
          self->checks_ = checks;
          self->seconds_ = seconds;
          self->show_checks();
        },
        Qt::QueuedConnection);
  });
}

void FirstRunPage::set_gl_check(const Check& check) {
  gl_check_ = check;
  show_checks();
}

void FirstRunPage::refresh_model() {
  show_checks();
}

void FirstRunPage::show_checks() {
  const Style& style = Style::current();
  while (QLayoutItem* item = grid_->takeAt(0)) {
    delete item->widget();
    delete item;
  }
  if (checks_.empty()) return;
  time_->setText("self-test, " + text_of(views::seconds_text(seconds_)));
  std::vector<Check> all(checks_.begin(), checks_.begin() + 2);
  const auto& model = session_.model();
  all.push_back(
      model ? Check{Check::State::Good, model->bundled ? "Bundled model" : "Model", text_of(model->name) + ", configs valid"}
            : Check{session_.model_problem().isEmpty() ? Check::State::Absent : Check::State::Warning, "Bundled model",
                    session_.model_problem().isEmpty() ? "is being read" : "not found"});
  all.push_back(checks_[2]);
  if (!gl_check_.name.isEmpty()) all.push_back(gl_check_);
  all.insert(all.end(), checks_.begin() + 3, checks_.end());
  all.push_back({Check::State::Good, "Session",
                 QString("%1, scale %2")
                     .arg(QGuiApplication::platformName() == "xcb" ? "X11" : QGuiApplication::platformName())
                     .arg(devicePixelRatioF(), 0, 'f', 1)});
  const int rows = (static_cast<int>(all.size()) + 1) / 2;
  static const char* kIcons[] = {"check", "warn", "close", "circle"};
  static const char* kTokens[] = {"ok", "warn", "error", "text3"};
  QString note;
  for (int i = 0; i < static_cast<int>(all.size()); ++i) {
    const Check& check = all[static_cast<std::size_t>(i)];
    const int row = i % rows, column = i / rows * 3;
    auto* icon = new QLabel;
    const int state = static_cast<int>(check.state);
    icon->setPixmap(style.pixmap(kIcons[state], style.colour(kTokens[state]), style.px(13), devicePixelRatioF()));
    grid_->addWidget(icon, row, column);
    grid_->addWidget(make_label(check.name), row, column + 1);
    auto* finding = make_label(check.finding, "text2");
    finding->setSizePolicy(QSizePolicy::Ignored, QSizePolicy::Preferred);
    finding->setToolTip(check.finding);
    grid_->addWidget(finding, row, column + 2);
    grid_->setColumnStretch(column + 2, 1);
    if (check.name == "OpenGL" && check.state == Check::State::Warning) {
      note = "Software OpenGL: views stay exact. A GPU driver makes them smooth.";
    }
  }
  note_->setText(note);
  note_icon_->setPixmap(note.isEmpty() ? QPixmap()
                                       : style.pixmap("warn", style.colour("warn"), style.px(13), devicePixelRatioF()));
}

}  // namespace ditscope::gui
