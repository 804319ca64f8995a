#include "app/gui/paint_surface.h"

#include <QOpenGLContext>
#include <QOpenGLWidget>
#include <QPainter>
#include <QPointer>

#include "app/gui/gl_support.h"

namespace ditscope::gui {

/// Fills its surface; the surface answers the mouse.
class GlLayer final : public QOpenGLWidget {
 public:
  explicit GlLayer(PaintSurface& owner) : QOpenGLWidget(&owner), owner_(owner) {
    setAttribute(Qt::WA_TransparentForMouseEvents);
    setFocusPolicy(Qt::NoFocus);
  }
  ~GlLayer() override {
    // QOpenGLWidget destroys its context when this is no GlLayer any more.
    if (context()) disconnect(context(), nullptr, this, nullptr);
    release();
  }

  void release() {
    if (!prepared_) return;
    prepared_ = false;
    makeCurrent();
    owner_.release_gl();
    doneCurrent();
  }

 protected:
  void initializeGL() override {
    // A second time where the window it is in has become another one: the former context has gone then.
    connect(context(), &QOpenGLContext::aboutToBeDestroyed, this, &GlLayer::release);
    try {
      owner_.prepare_gl();
      prepared_ = true;
    } catch (const std::exception& problem) {
      fail(QString::fromUtf8(problem.what()));
    }
  }
  void paintGL() override {
    if (!prepared_) return;
    try {
      owner_.paint_gl();
    } catch (const std::exception& problem) {
      fail(QString::fromUtf8(problem.what()));
    }
  }
  void paintEvent(QPaintEvent* event) override {
    QOpenGLWidget::paintEvent(event);
    // No context could be made, or its device was reset.
    if (!isValid() || !context()->isValid()) fail("the context is lost");
  }

 private:
  void fail(const QString& why) {
    if (std::exchange(failed_, true)) return;
    // Later: this may be inside a paint.
    QMetaObject::invokeMethod(
        &owner_, [owner = &owner_, why] { owner->give_up_gl(why); }, Qt::QueuedConnection);
  }

  PaintSurface& owner_;
  bool prepared_ = false, failed_ = false;
};

PaintSurface::PaintSurface(QWidget* parent) : QWidget(parent) {
  setAttribute(Qt::WA_OpaquePaintEvent);
  if (gl_usable()) add_layer();
}

PaintSurface::~PaintSurface() = default;

void PaintSurface::add_layer() {
  layer_ = new GlLayer(*this);
  layer_->setGeometry(rect());
  layer_->show();
}

void PaintSurface::end_gl() {
  if (layer_) layer_->release();
  delete std::exchange(layer_, nullptr);
}

void PaintSurface::give_up_gl(const QString& why) {
  if (!layer_) return;
  end_gl();
  if (++failures_ < 2 && gl_usable()) {
    add_layer();
  } else {
    Q_EMIT gl_failed(QString("OpenGL stopped working (%1). Views that had it are drawn by the processor now, slower; start again to try OpenGL anew.").arg(why));
  }
  update();
}

void PaintSurface::repaint_soon() {
  if (layer_) {
    layer_->update();
  } else {
    update();
  }
}

void PaintSurface::make_current() {
  if (layer_) layer_->makeCurrent();
}

void PaintSurface::done_current() {
  if (layer_) layer_->doneCurrent();
}

void PaintSurface::resizeEvent(QResizeEvent* event) {
  QWidget::resizeEvent(event);
  if (layer_) layer_->setGeometry(rect());
}

void PaintSurface::paintEvent(QPaintEvent*) {
  if (layer_ || width() <= 0 || height() <= 0) return;
  QImage image = paint_pixels();
  image.setDevicePixelRatio(devicePixelRatioF());
  QPainter painter(this);
  painter.drawImage(QPointF(0, 0), image);
}

}  // namespace ditscope::gui
