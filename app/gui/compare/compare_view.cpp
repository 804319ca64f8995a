#include "app/gui/compare/compare_view.h"

#include <QFile>
#include <QMouseEvent>
#include <QWheelEvent>
#include <cmath>

#include "app/gui/compare/compare_pixels.h"
#include "app/gui/style/style.h"
#include "kernels/error.h"

namespace ditscope::gui {
namespace {

constexpr int kTick_ms = 15;

std::string shader(const char* name) {
  QFile file(QString(":/shaders/") + name);
  if (!file.open(QIODevice::ReadOnly)) throw Error(ErrorKind::NotFound, std::string("expected the resource shaders/") + name);
  return file.readAll().toStdString();
}

views::Point point_of(QPointF point) {
  return {point.x(), point.y()};
}

}  // namespace

CompareView::CompareView(QWidget* parent) : PaintSurface(parent), imgui_(std::make_unique<gl::ImGuiQt>()) {
  setFocusPolicy(Qt::StrongFocus);
  setMouseTracking(true);
  setMinimumSize(280, 160);
  setObjectName("compareView");
  setAccessibleName("Compare view");
  timer_.setInterval(kTick_ms);
  connect(&timer_, &QTimer::timeout, this, &CompareView::tick);
}

CompareView::~CompareView() {
  end_gl();
}

void CompareView::release_gl() {
  scene_.reset();
  imgui_->release();
}

const Frames* CompareView::shape() const {
  for (const Clip& clip : clips_) {
    if (clip.frames && !clip.frames->empty()) return clip.frames.get();
  }
  return nullptr;
}

bool CompareView::has_clip() const {
  return shape() != nullptr;
}

void CompareView::set_clips(const std::array<Clip, 4>& clips) {
  if (clips == clips_) return;
  const Frames* former = shape();
  const int width = former ? former->width : 0, height = former ? former->height : 0;
  for (std::size_t i = 0; i < clips.size(); ++i) {
    if (clips[i].frames != clips_[i].frames) dirty_[i] = true;
  }
  clips_ = clips;
  const Frames* now = shape();
  if (now && (now->width != width || now->height != height)) camera_ = views::Camera();
  playback_.frames = now ? now->count : 0;
  playback_.fps = now ? now->fps : 8;
  playback_ = playback_.playing ? playback_ : views::seek(playback_, playback_.frame());
  set_second(second_);
  follow_size();
}

void CompareView::set_second(int run) {
  second_ = run;
  const Clip &a = clips_[0], &b = clips_[static_cast<std::size_t>(second_)];
  p99_ = a.frames && b.frames ? views::difference_p99(*a.frames, *b.frames, state_.shift_b) : 0;
  update_accessible_text();
  repaint_soon();
}

void CompareView::set_state(const views::CompareState& state) {
  const bool reshaped = state.mode != state_.mode, shifted = state.shift_b != state_.shift_b;
  state_ = state;
  if (reshaped) follow_size();
  if (shifted) set_second(second_);
  update_accessible_text();
  repaint_soon();
  Q_EMIT state_changed();
}

void CompareView::set_playback(const views::Playback& playback) {
  playback_ = playback;
  clock_.restart();
  if (playback_.playing || state_.flicker) {
    timer_.start();
  } else {
    timer_.stop();
  }
  if (playback_.frame() != shown_frame_) Q_EMIT frame_changed(playback_.frame());
  repaint_soon();
  Q_EMIT state_changed();
}

void CompareView::set_flicker(bool on) {
  if (state_.flicker == on) return;
  state_.flicker = on;
  flicker_clock_.restart();
  // The press itself shows the other run: half a period is not a delay.
  shown_flicker_ = on;
  set_playback(playback_);
}

void CompareView::tick() {
  const double seconds = clock_.restart() / 1000.0;
  const bool was_playing = playback_.playing;
  playback_ = views::advance(playback_, seconds);
  if (!playback_.playing && !state_.flicker) timer_.stop();
  if (was_playing != playback_.playing) Q_EMIT state_changed();
  const bool flicker = state_.flicker && !views::flicker_shows_second(state_, flicker_clock_.elapsed() / 1000.0);
  if (playback_.frame() == shown_frame_ && flicker == shown_flicker_) return;
  shown_flicker_ = flicker;
  if (playback_.frame() != shown_frame_) Q_EMIT frame_changed(playback_.frame());
  repaint_soon();
}

std::vector<views::Pane> CompareView::panes() const {
  return views::layout_panes(state_, width(), height(), Style::current().px(6));
}

const views::Pane* CompareView::pane_at(const std::vector<views::Pane>& panes, views::Point at) const {
  for (const views::Pane& pane : panes) {
    if (pane.rect.contains(at)) return &pane;
  }
  return nullptr;
}

void CompareView::fit() {
  camera_ = views::Camera();
  follow_size();
  repaint_soon();
}

void CompareView::one_to_one() {
  if (const Frames* clip = shape()) camera_ = views::one_to_one(clip->width, clip->height, devicePixelRatioF());
  Q_EMIT zoom_changed();
  repaint_soon();
}

void CompareView::prepare_gl() {
  dirty_.fill(true);
  scene_ = std::make_unique<views::CompareScene>(shader("compare.vert"), shader("compare.frag"));
  imgui_->set_fonts(Style::current().overlay_fonts(), Style::current().text_scale(), devicePixelRatioF());
}

void CompareView::resizeEvent(QResizeEvent* event) {
  PaintSurface::resizeEvent(event);
  follow_size();
}

void CompareView::follow_size() {
  const auto all = panes();
  if (const Frames* clip = shape()) camera_ = views::follow(camera_, all.front().rect, clip->width, clip->height);
  Q_EMIT zoom_changed();
}

void CompareView::upload() {
  for (std::size_t i = 0; i < clips_.size(); ++i) {
    if (!dirty_[i]) continue;
    dirty_[i] = false;
    try {
      scene_->set_clip(static_cast<int>(i), clips_[i].frames ? *clips_[i].frames : Frames());
      gl_problem_.clear();
    } catch (const Error& problem) {
      gl_problem_ = QString::fromUtf8(problem.what());
      // Later: this is inside a paint.
      QMetaObject::invokeMethod(
          this, [this, text = gl_problem_] { Q_EMIT gl_failed(text); }, Qt::QueuedConnection);
    }
  }
}

views::CompareOverlay::Run CompareView::overlay_run(int run, int frame) const {
  const Clip& clip = clips_[static_cast<std::size_t>(run)];
  views::CompareOverlay::Run shown;
  shown.letter = static_cast<char>('A' + run);
  shown.index = run;
  shown.name = clip.name.toStdString();
  shown.seconds = clip.seconds.toStdString();
  shown.frames = clip.frames.get();
  shown.frame = clip.frames ? std::min(frame, clip.frames->count - 1) : 0;
  return shown;
}

CompareView::Shown CompareView::shown_now() const {
  Shown now;
  now.panes = panes();
  const bool flicker = state_.flicker && shown_flicker_;
  if (flicker) {
    // Every pane that shows the first run shows the second one instead.
    for (views::Pane& pane : now.panes) {
      if (pane.content == views::Pane::Content::First || pane.content == views::Pane::Content::Wipe)
        pane.content = views::Pane::Content::Second;
    }
  }
  views::CompareScene::View& view = now.view;
  view.width = width();
  view.height = height();
  view.ratio = devicePixelRatioF();
  view.first_run = first_run();
  view.second_run = second_run();
  const auto frame_of = [&](int run) {
    const auto& clip = clips_[static_cast<std::size_t>(run)].frames;
    return views::shifted_frame(playback_.frame(), run == 0 ? 0 : state_.shift_b, clip ? clip->count : 0);
  };
  view.first_frame = frame_of(view.first_run);
  view.second_frame = frame_of(view.second_run);
  view.range = views::difference_range(state_, p99_);
  views::CompareOverlay& overlay = now.overlay;
  overlay.first = overlay_run(view.first_run, view.first_frame);
  overlay.second = overlay_run(view.second_run, view.second_frame);
  overlay.p99 = p99_;
  overlay.flickering = flicker;
  overlay.focused = hasFocus();
  overlay.wipe_hovered = wipe_hovered_;
  return now;
}

QImage CompareView::paint_pixels() {
  const Shown now = shown_now();
  shown_frame_ = playback_.frame();
  return draw_compare_pixels(size(), devicePixelRatioF(), state_, now.panes, camera_, now.overlay);
}

void CompareView::paint_gl() {
  if (!scene_) return;
  upload();
  const views::Theme& theme = Style::current().theme();
  const Shown now = shown_now();
  scene_->draw(state_, now.panes, camera_, now.view, theme);
  shown_frame_ = playback_.frame();

  imgui_->set_fonts(Style::current().overlay_fonts(), Style::current().text_scale(), devicePixelRatioF());
  imgui_->begin(width(), height(), devicePixelRatioF(), kTick_ms / 1000.0);
  views::CompareIntents intents;
  if (has_clip()) intents = views::draw_compare_overlay(now.overlay, state_, now.panes, camera_, theme, *imgui_, Style::current().text_scale());
  imgui_->end();
  if (intents.range_changed) {
    state_.range = intents.range;
    QMetaObject::invokeMethod(
        this, [this] { set_state(state_); }, Qt::QueuedConnection);
  }
}

bool CompareView::event(QEvent* event) {
  if (imgui_ && uses_gl()) {
    const bool taken = imgui_->handle(*event);
    switch (event->type()) {
      case QEvent::MouseMove:
      case QEvent::MouseButtonPress:
      case QEvent::MouseButtonRelease:
        // In the difference views ImGui's own controls follow the mouse.
        if (state_.mode == views::CompareMode::Difference || state_.third == views::ThirdPane::Difference) repaint_soon();
        if (taken && drag_ == Drag::None) return true;
        break;
      case QEvent::Wheel:
        if (taken) return true;
        break;
      case QEvent::Leave:
        wipe_hovered_ = false;
        repaint_soon();
        break;
      default:
        break;
    }
  }
  return PaintSurface::event(event);
}

bool CompareView::near_wipe_line(const views::Pane& pane, views::Point at) const {
  if (pane.content != views::Pane::Content::Wipe) return false;
  const double line =
      pane.horizontal ? pane.rect.y + pane.rect.height * state_.wipe : pane.rect.x + pane.rect.width * state_.wipe;
  return std::fabs((pane.horizontal ? at.y : at.x) - line) <= Style::current().px(14);
}

void CompareView::mousePressEvent(QMouseEvent* event) {
  if (event->button() != Qt::LeftButton && event->button() != Qt::MiddleButton) return;
  const auto all = panes();
  last_ = point_of(event->position());
  const views::Pane* pane = pane_at(all, last_);
  drag_ = pane && event->button() == Qt::LeftButton && near_wipe_line(*pane, last_) ? Drag::Wipe : Drag::Pan;
  setCursor(drag_ == Drag::Pan ? Qt::ClosedHandCursor : cursor().shape());
}

void CompareView::mouseMoveEvent(QMouseEvent* event) {
  const views::Point at = point_of(event->position());
  const auto all = panes();
  if (drag_ == Drag::Pan) {
    if (const Frames* clip = shape()) {
      camera_ = views::pan(camera_, all.front().rect, {at.x - last_.x, at.y - last_.y}, clip->width, clip->height);
      Q_EMIT zoom_changed();
    }
    last_ = at;
    repaint_soon();
    return;
  }
  const views::Pane* wipe_pane = nullptr;
  for (const views::Pane& pane : all) {
    if (pane.content == views::Pane::Content::Wipe) wipe_pane = &pane;
  }
  const bool follows = state_.wipe_follows_mouse && wipe_pane && wipe_pane->rect.contains(at);
  if (wipe_pane && (drag_ == Drag::Wipe || follows)) {
    state_.wipe = views::wipe_at(*wipe_pane, at);
    repaint_soon();
    return;
  }
  const bool hovered = wipe_pane && wipe_pane->rect.contains(at) && near_wipe_line(*wipe_pane, at);
  if (hovered != wipe_hovered_) {
    wipe_hovered_ = hovered;
    setCursor(!hovered ? Qt::ArrowCursor : wipe_pane->horizontal ? Qt::SplitVCursor : Qt::SplitHCursor);
    repaint_soon();
  }
}

void CompareView::mouseReleaseEvent(QMouseEvent*) {
  if (drag_ == Drag::Pan) setCursor(Qt::ArrowCursor);
  drag_ = Drag::None;
}

void CompareView::wheelEvent(QWheelEvent* event) {
  const auto all = panes();
  const views::Point at = point_of(event->position());
  const views::Pane* pane = pane_at(all, at);
  if (!pane || !has_clip()) return;
  double notches = (event->angleDelta().y() != 0 ? event->angleDelta().y() : event->angleDelta().x()) / 120.0;
  if (event->modifiers().testFlag(Qt::ShiftModifier)) notches /= 8;
  if (event->modifiers().testFlag(Qt::ControlModifier)) notches *= 8;
  camera_ = views::zoom_about(camera_, pane->rect, at, notches);
  Q_EMIT zoom_changed();
  repaint_soon();
  event->accept();
}

void CompareView::focusInEvent(QFocusEvent* event) {
  PaintSurface::focusInEvent(event);
  repaint_soon();
}

void CompareView::focusOutEvent(QFocusEvent* event) {
  set_flicker(false);
  PaintSurface::focusOutEvent(event);
  repaint_soon();
}

void CompareView::update_accessible_text() {
  setAccessibleDescription(QString("%1, A %2, %3 %4")
                               .arg(views::compare_mode_name(state_.mode), clips_[0].name, QChar('A' + second_),
                                    clips_[static_cast<std::size_t>(second_)].name));
}

}  // namespace ditscope::gui
