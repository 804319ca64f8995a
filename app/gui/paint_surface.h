#pragma once
#include <QWidget>

class QOpenGLWidget;

namespace ditscope::gui {

/// A widget that is painted with OpenGL where the display has it. Where it has none, where a context cannot be made, or where one is
/// lost for good, the same widget paints pixels. Mouse and keys reach it alike.
class PaintSurface : public QWidget {
  Q_OBJECT
 public:
  explicit PaintSurface(QWidget* parent = nullptr);
  ~PaintSurface() override;

  /// Whether OpenGL draws it; false: the processor.
  bool uses_gl() const { return layer_ != nullptr; }
  /// Paints again, soon. QWidget::update() does not: what is seen is the layer's.
  void repaint_soon();
  void make_current();
  void done_current();
  /// What a driver that fails does: a new context the first time, pixels from then on.
  void give_up_gl(const QString& why);

 Q_SIGNALS:
  void gl_failed(const QString& problem);

 protected:
  // With the context current; prepare_gl() again after each release_gl().
  virtual void prepare_gl() = 0;
  virtual void paint_gl() = 0;
  virtual void release_gl() = 0;
  /// Device px, opaque.
  virtual QImage paint_pixels() = 0;
  /// Of a subclass's destructor: while its release_gl() is still there.
  void end_gl();
  void paintEvent(QPaintEvent* event) override;
  void resizeEvent(QResizeEvent* event) override;

 private:
  friend class GlLayer;
  void add_layer();

  class GlLayer* layer_ = nullptr;
  int failures_ = 0;
};

}  // namespace ditscope::gui
