#include "app/gui/inspect/guided_tour.h"

#include <QBoxLayout>
#include <QKeyEvent>
#include <QPainter>
#include <algorithm>

#include "app/gui/inspect/inspect_workspace.h"
#include "app/gui/main_window.h"
#include "app/gui/style/style.h"
#include "app/gui/widgets/basics.h"

namespace ditscope::gui {
namespace {

struct Stop {
  const char* view;  ///< id; empty: the cursor bar
  const char* title;
  const char* text;
};

/// After the longest time the tour goes on all the same.
constexpr int kLook_ms = 50, kMostLooks = 8000 / kLook_ms;

constexpr Stop kStops[] = {
    {"", "The same video, twice",
     "A is full attention; B is Re-ttention from the same noise, which computes a part of it. This bar says where you look: run, step, layer, "
     "head, guidance branch. [ and ] change the step, the arrow keys layer and head: every view follows."},
    {"heads", "Every head at a glance",
     "One thumbnail a head, one row a layer. Diagonals look nearby, a bright first column looks at the prompt. Click one to go there; sort by "
     "recall to see which heads lose most."},
    {"map", "Where the queries look",
     "Queries run down, keys across; bright is a large share of the softmax. The wheel zooms, dragging pans, F fits. Click to lock a token: it is "
     "then marked in every view, on the video too."},
    {"mask", "What was left out", "The blocks that the kernel computed, coloured by why they were kept, and in red the skipped ones that would have weighed much."},
    {"drift", "How the denominator drifts",
     "A sparse softmax sums fewer terms, so each kept weight grows. rho is the share that is kept; the staircase is what the method takes it to be. "
     "They part between refreshes, the triangles."},
    {"outputs", "What became of the picture",
     "Both videos under one camera; hold Shift to see A and B in turn. Click a pixel: its token is locked, and the strip shows where it looks, "
     "frame by frame."},
    {"timeline", "The whole run", "Kept ratio, error and time of every step; click a step to go there. Esc unlocks, ? lists all keys. Each view has a ? of its own."},
};

}  // namespace

int GuidedTour::stops() const { return static_cast<int>(std::size(kStops)); }

void GuidedTour::start(MainWindow& window) {
  for (GuidedTour* running : window.findChildren<GuidedTour*>()) running->deleteLater();
  auto* tour = new GuidedTour(window);
  tour->arrive();
  tour->show();
  tour->raise();
}

GuidedTour::GuidedTour(MainWindow& window) : QFrame(&window), window_(window) {
  const Style& style = Style::current();
  setObjectName("guidedTour");
  setAccessibleName("Tour");
  auto* layout = new QVBoxLayout(this);
  layout->setContentsMargins(style.px(16), style.px(12), style.px(16), style.px(12));
  layout->setSpacing(style.px(8));
  auto* head = new QHBoxLayout;
  title_ = make_label("", "title");
  auto* end = make_icon_button("close", "End the tour (Esc)");
  connect(end, &QToolButton::clicked, this, &QObject::deleteLater);
  head->addWidget(title_, 1);
  head->addWidget(end);
  text_ = make_label("", "body");
  text_->setWordWrap(true);
  auto* foot = new QHBoxLayout;
  count_ = make_label("", "number3");
  back_ = make_button("Back");
  next_ = make_button("Next", {}, "primary");
  connect(back_, &QPushButton::clicked, this, [this] { go(stop_ - 1); });
  connect(next_, &QPushButton::clicked, this, [this] {
    if (stop_ + 1 == stops()) {
      deleteLater();
    } else {
      go(stop_ + 1);
    }
  });
  foot->addWidget(count_, 1);
  foot->addWidget(back_);
  foot->addWidget(next_);
  layout->addLayout(head);
  layout->addWidget(text_);
  layout->addLayout(foot);
  setFixedWidth(style.px(340));
  timer_.setInterval(kLook_ms);
  connect(&timer_, &QTimer::timeout, this, &GuidedTour::look);
  window_.installEventFilter(this);
}

void GuidedTour::go(int stop) {
  next_stop_ = std::clamp(stop, 0, stops() - 1);
  const Stop& next = kStops[next_stop_];
  if (window_.inspect() && *next.view) window_.inspect()->show_view(next.view);
  looks_ = 0;
  window_.inspect_session().touch();
  next_->setEnabled(false);
  back_->setEnabled(false);
  count_->setText("loading");
  timer_.start();
}

void GuidedTour::look() {
  if (++looks_ >= kMostLooks || window_.inspect_session().settled()) arrive();
}

void GuidedTour::arrive() {
  timer_.stop();
  stop_ = next_stop_;
  const Stop& now = kStops[stop_];
  title_->setText(now.title);
  text_->setText(now.text);
  count_->setText(QString("%1 of %2").arg(stop_ + 1).arg(stops()));
  next_->setEnabled(true);
  back_->setEnabled(stop_ > 0);
  next_->setText(stop_ + 1 == stops() ? "Done" : "Next");
  next_->setFocus();
  place();
}

void GuidedTour::place() {
  if (stop_ < 0) return;
  setFixedHeight(layout()->totalHeightForWidth(width()));
  const Style& style = Style::current();
  const QRect room = window_.rect().adjusted(style.px(8), style.px(88), -style.px(8), -style.px(32));
  QRect beside(room.topLeft(), QSize(1, 1));
  ViewWidget* view = window_.inspect() && *kStops[stop_].view ? window_.inspect()->view(kStops[stop_].view) : nullptr;
  if (view && view->isVisible()) beside = QRect(view->mapTo(&window_, QPoint(0, 0)), view->size());
  // To the right of what it speaks of, else to the left, else over it.
  int x = beside.right() + style.px(8);
  if (x + width() > room.right()) x = beside.left() - width() - style.px(8);
  if (x < room.left()) x = room.center().x() - width() / 2;
  const int y = std::clamp(beside.center().y() - height() / 2, room.top(), std::max(room.top(), room.bottom() - height()));
  move(x, y);
}

bool GuidedTour::eventFilter(QObject*, QEvent* event) {
  if (event->type() == QEvent::Resize) QMetaObject::invokeMethod(this, &GuidedTour::place, Qt::QueuedConnection);
  return false;
}

void GuidedTour::keyPressEvent(QKeyEvent* event) {
  if (event->key() == Qt::Key_Escape) {
    deleteLater();
  } else {
    QFrame::keyPressEvent(event);
  }
}

void GuidedTour::paintEvent(QPaintEvent*) {
  const Style& style = Style::current();
  QPainter painter(this);
  painter.setRenderHint(QPainter::Antialiasing);
  painter.setPen(QPen(style.colour("accent"), 1));
  painter.setBrush(style.colour("raised"));
  painter.drawRoundedRect(QRectF(rect()).adjusted(0.5, 0.5, -0.5, -0.5), style.px(6), style.px(6));
}

}  // namespace ditscope::gui
