#include "app/gui/inspect/view_widget.h"

#include <QElapsedTimer>
#include <QHelpEvent>
#include <QMouseEvent>
#include <QOpenGLContext>
#include <QOpenGLFunctions>
#include <QToolTip>
#include <QWheelEvent>

#include "app/gui/style/style.h"
#include "views/gl/gl_objects.h"
#include "views/inspect/cairo_canvas.h"

namespace ditscope::gui {
namespace {

constexpr int kAnimation_ms = 15;
constexpr int kPinned_ms = 60'000;

views::PointerEvent pointer_event(views::PointerEvent::Kind kind, const QSinglePointEvent& event, Qt::MouseButtons buttons) {
  views::PointerEvent made;
  made.kind = kind;
  made.at = {event.position().x(), event.position().y()};
  made.left = buttons.testFlag(Qt::LeftButton);
  made.right = buttons.testFlag(Qt::RightButton);
  made.shift = event.modifiers().testFlag(Qt::ShiftModifier);
  made.control = event.modifiers().testFlag(Qt::ControlModifier);
  return made;
}

}  // namespace

ViewWidget::ViewWidget(InspectSession& session, const std::string& id, QWidget* parent)
    : PaintSurface(parent), session_(session), id_(id), view_(session.view(id)) {
  setFocusPolicy(Qt::StrongFocus);
  setMouseTracking(true);
  setMinimumSize(160, 64);
  setObjectName("view-" + QString::fromStdString(id));
  setAccessibleName(QString::fromStdString(view_.info().title));
  animation_.setInterval(kAnimation_ms);
  connect(&animation_, &QTimer::timeout, this, [this] { repaint_soon(); });
  connect(&session_, &InspectSession::changed, this, &ViewWidget::look);
  connect(&session_, &InspectSession::captures_changed, this, &ViewWidget::look);
}

ViewWidget::~ViewWidget() { end_gl(); }

views::ViewContext ViewWidget::view_context() const {
  views::ViewContext context{session_.inspection(), session_.cursor_of(id_), Style::current().theme(), {0, 0, double(width()), double(height())}};
  context.unit = Style::current().text_scale();
  context.ratio = devicePixelRatioF();
  context.focused = hasFocus();
  context.seconds = session_.seconds();
  return context;
}

void ViewWidget::look() {
  if (!isVisible()) return;
  repaint_soon();
  const views::ViewContext now = view_context();
  if (now.cursor == spoken_cursor_ && session_.inspection().locked() == spoken_locked_) return;
  spoken_cursor_ = now.cursor;
  spoken_locked_ = session_.inspection().locked();
  setAccessibleDescription(QString::fromStdString(view_.spoken(now)));
}

void ViewWidget::prepare_gl() { canvas_ = std::make_unique<gl::ImGuiCanvas>(); }

void ViewWidget::release_gl() {
  if (canvas_) canvas_->release();
  canvas_.reset();
}

void ViewWidget::paint_on(views::Canvas& canvas, const views::ViewContext& now) {
  try {
    view_.paint(canvas, now);
  } catch (const std::exception& problem) {
    views::paint_notice(canvas, now, now.area, problem.what());
  }
  if (now.focused) canvas.outline(now.area, now.theme.colour("accent"), 2);
  if (view_.animated() && isVisible()) {
    animation_.start();
  } else {
    animation_.stop();
  }
  // Later: toolbars must not change inside a paint.
  QMetaObject::invokeMethod(this, &ViewWidget::controls_asked, Qt::QueuedConnection);
}

void ViewWidget::paint_gl() {
  if (!canvas_) return;
  QElapsedTimer timer;
  timer.start();
  const views::ViewContext now = view_context();
  const views::Rgb panel = now.theme.colour("panel");
  gl::clear(panel.r, panel.g, panel.b);
  canvas_->begin(now.area.width, now.area.height, now.ratio, now.unit, now.theme);
  paint_on(*canvas_, now);
  canvas_->end();
  paint_ms_ = static_cast<double>(timer.nsecsElapsed()) / 1e6;
}

QImage ViewWidget::paint_pixels() {
  QElapsedTimer timer;
  timer.start();
  const views::ViewContext now = view_context();
  views::CairoCanvas canvas(views::CairoCanvas::Format::Pixels, {width(), height(), now.ratio, now.unit}, now.theme);
  canvas.fill(now.area, now.theme.colour("panel"));
  paint_on(canvas, now);
  const auto bitmap = canvas.bitmap();
  paint_ms_ = static_cast<double>(timer.nsecsElapsed()) / 1e6;
  return QImage(bitmap->rgba.data(), bitmap->width, bitmap->height, QImage::Format_RGBA8888).convertToFormat(QImage::Format_RGB32);
}

double ViewWidget::measure_ms() {
  if (!uses_gl()) {
    paint_pixels();
    return paint_ms_;
  }
  make_current();
  QElapsedTimer timer;
  timer.start();
  paint_gl();
  QOpenGLContext::currentContext()->functions()->glFinish();
  paint_ms_ = static_cast<double>(timer.nsecsElapsed()) / 1e6;
  done_current();
  return paint_ms_;
}

void ViewWidget::send(views::PointerEvent event) {
  if (view_.pointer(event, view_context())) repaint_soon();
}

bool ViewWidget::take_key(const std::string& key) {
  const bool taken = view_.key(key, view_context());
  if (taken) repaint_soon();
  return taken;
}

void ViewWidget::release_key(const std::string& key) {
  if (view_.key_released(key, view_context())) repaint_soon();
}

void ViewWidget::show_tooltip(QPoint at, int ms) {
  QString text = QString::fromStdString(view_.tooltip({double(at.x()), double(at.y())}, view_context())).toHtmlEscaped();
  if (text.isEmpty()) {
    QToolTip::hideText();
    return;
  }
  text.replace("\n", "<br>");
  QToolTip::showText(mapToGlobal(at), "<div style='white-space:pre'>" + number_span(text) + "</div>", this, rect(), ms);
}

bool ViewWidget::event(QEvent* event) {
  switch (event->type()) {
    case QEvent::ToolTip:
      show_tooltip(static_cast<QHelpEvent*>(event)->pos(), -1);
      return true;
    case QEvent::KeyPress:
      if (static_cast<QKeyEvent*>(event)->key() == Qt::Key_F1) {
        show_tooltip(mapFromGlobal(QCursor::pos()), kPinned_ms);
        return true;
      }
      break;
    case QEvent::Enter:
      Q_EMIT entered();
      break;
    case QEvent::Leave: {
      views::PointerEvent leave;
      leave.kind = views::PointerEvent::Kind::Leave;
      send(leave);
      session_.inspection().set_hover({});
      break;
    }
    default:
      break;
  }
  return PaintSurface::event(event);
}

void ViewWidget::mousePressEvent(QMouseEvent* event) { send(pointer_event(views::PointerEvent::Kind::Press, *event, event->button())); }
void ViewWidget::mouseMoveEvent(QMouseEvent* event) { send(pointer_event(views::PointerEvent::Kind::Move, *event, event->buttons())); }
void ViewWidget::mouseReleaseEvent(QMouseEvent* event) { send(pointer_event(views::PointerEvent::Kind::Release, *event, event->button())); }
void ViewWidget::mouseDoubleClickEvent(QMouseEvent* event) { send(pointer_event(views::PointerEvent::Kind::DoubleClick, *event, event->button())); }

void ViewWidget::wheelEvent(QWheelEvent* event) {
  views::PointerEvent made = pointer_event(views::PointerEvent::Kind::Wheel, *event, event->buttons());
  // Qt turns the wheel sideways while Alt is held, and some mice while Shift is.
  made.notches = (event->angleDelta().y() != 0 ? event->angleDelta().y() : event->angleDelta().x()) / 120.0;
  send(made);
  event->accept();
}

void ViewWidget::focusInEvent(QFocusEvent* event) {
  PaintSurface::focusInEvent(event);
  repaint_soon();
}

void ViewWidget::focusOutEvent(QFocusEvent* event) {
  PaintSurface::focusOutEvent(event);
  repaint_soon();
}

}  // namespace ditscope::gui
