#pragma once
#include <QTimer>
#include <memory>
#include <string>

#include "app/gui/inspect/inspect_session.h"
#include "app/gui/paint_surface.h"
#include "views/gl/imgui_canvas.h"

namespace ditscope::gui {

/// The home of one view of the inspector in the window: the surface that it paints on, its mouse, wheel and keys, tooltips, what
/// screen readers say.
class ViewWidget : public PaintSurface {
  Q_OBJECT
 public:
  ViewWidget(InspectSession& session, const std::string& id, QWidget* parent = nullptr);
  ~ViewWidget() override;

  const std::string& id() const { return id_; }
  views::InspectView& view() const { return view_; }
  views::ViewContext view_context() const;
  /// @param key  as InspectView::key() takes it: "F", "Esc"   @return whether the view took it
  bool take_key(const std::string& key);
  /// A key that was taken has come up, or is somebody else's now.
  void release_key(const std::string& key);
  /// Milliseconds that the last paint took, OpenGL's work included.
  double paint_ms() const { return paint_ms_; }
  /// Paints now, without waiting for the event loop.
  double measure_ms();

 Q_SIGNALS:
  void entered();        ///< the mouse came in
  void controls_asked();  ///< painted anew after a change: toolbars may show other values now

 protected:
  void prepare_gl() override;
  void paint_gl() override;
  void release_gl() override;
  QImage paint_pixels() override;
  bool event(QEvent* event) override;
  void mousePressEvent(QMouseEvent* event) override;
  void mouseMoveEvent(QMouseEvent* event) override;
  void mouseReleaseEvent(QMouseEvent* event) override;
  void mouseDoubleClickEvent(QMouseEvent* event) override;
  void wheelEvent(QWheelEvent* event) override;
  void focusInEvent(QFocusEvent* event) override;
  void focusOutEvent(QFocusEvent* event) override;

 private:
  void paint_on(views::Canvas& canvas, const views::ViewContext& now);
  void look();
  void send(views::PointerEvent event);
  void show_tooltip(QPoint at, int ms);

  InspectSession& session_;
  std::string id_;
  views::InspectView& view_;
  std::unique_ptr<gl::ImGuiCanvas> canvas_;
  QTimer animation_;
  views::InspectCursor spoken_cursor_;
  std::vector<std::int64_t> spoken_locked_;
  double paint_ms_ = 0;
};

}  // namespace ditscope::gui
