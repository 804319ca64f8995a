#pragma once
#include <QElapsedTimer>
#include <QTimer>
#include <array>
#include <memory>

#include "app/gui/paint_surface.h"
#include "views/gl/imgui_qt.h"
#include "views/panels/compare_overlay.h"
#include "views/scenes/compare_scene.h"
#include "views/state/playback.h"

namespace ditscope::gui {

/// A clip of one run as the view shows it.
struct Clip {
  std::shared_ptr<const Frames> frames;  ///< null: none
  QString name, seconds;
  bool operator==(const Clip&) const = default;
};

/// The view of the clips: panes, wipe, zoom, playback. What it shows is plain state in views/state; it owns the GL objects.
class CompareView : public PaintSurface {
  Q_OBJECT
 public:
  explicit CompareView(QWidget* parent = nullptr);
  ~CompareView() override;

  void set_clips(const std::array<Clip, 4>& clips);
  const std::array<Clip, 4>& clips() const { return clips_; }
  /// Which run stands against A.
  void set_second(int run);
  int second() const { return second_; }
  const views::CompareState& state() const { return state_; }
  void set_state(const views::CompareState& state);
  const views::Playback& playback() const { return playback_; }
  void set_playback(const views::Playback& playback);
  double zoom() const { return camera_.scale * devicePixelRatioF(); }
  void fit();
  void one_to_one();
  void set_flicker(bool on);
  /// Whether anything is there to play.
  bool has_clip() const;
  QString gl_problem() const { return gl_problem_; }

 Q_SIGNALS:
  void state_changed();
  void frame_changed(int frame);
  void zoom_changed();

 protected:
  void prepare_gl() override;
  void paint_gl() override;
  void release_gl() override;
  QImage paint_pixels() override;
  void resizeEvent(QResizeEvent* event) override;
  bool event(QEvent* event) override;
  void mousePressEvent(QMouseEvent* event) override;
  void mouseMoveEvent(QMouseEvent* event) override;
  void mouseReleaseEvent(QMouseEvent* event) override;
  void wheelEvent(QWheelEvent* event) override;
  void focusInEvent(QFocusEvent* event) override;
  void focusOutEvent(QFocusEvent* event) override;

 private:
  void tick();
  void upload();
  void follow_size();
  /// What is drawn now: panes as they are while A and B flicker, and what stands on them.
  struct Shown {
    std::vector<views::Pane> panes;
    views::CompareScene::View view;
    views::CompareOverlay overlay;
  };
  Shown shown_now() const;
  std::vector<views::Pane> panes() const;
  const views::Pane* pane_at(const std::vector<views::Pane>& panes, views::Point at) const;
  bool near_wipe_line(const views::Pane& pane, views::Point at) const;
  int first_run() const { return state_.swapped ? second_ : 0; }
  int second_run() const { return state_.swapped ? 0 : second_; }
  views::CompareOverlay::Run overlay_run(int run, int frame) const;
  void update_accessible_text();
  const Frames* shape() const;

  std::array<Clip, 4> clips_;
  std::array<bool, 4> dirty_{};
  int second_ = 1;
  views::CompareState state_;
  views::Playback playback_;
  views::Camera camera_;
  double p99_ = 0;
  std::unique_ptr<views::CompareScene> scene_;
  std::unique_ptr<gl::ImGuiQt> imgui_;
  QString gl_problem_;
  QTimer timer_;
  QElapsedTimer clock_, flicker_clock_;
  int shown_frame_ = -1;
  bool shown_flicker_ = false;
  enum class Drag { None, Wipe, Pan } drag_ = Drag::None;
  views::Point last_;
  bool wipe_hovered_ = false;
};

}  // namespace ditscope::gui
