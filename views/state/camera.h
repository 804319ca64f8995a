#pragma once

namespace ditscope::views {

struct Point {
  double x = 0, y = 0;
};
/// A rectangle in view px, y down.
struct Rect {
  double x = 0, y = 0, width = 0, height = 0;
  double right() const { return x + width; }
  double bottom() const { return y + height; }
  bool contains(Point p) const { return p.x >= x && p.x < right() && p.y >= y && p.y < bottom(); }
};

/// Where a pane looks at its image. One camera serves all panes of a view, so that they stay linked: it is kept relative to the
/// middle of a pane, never to a place in the window.
struct Camera {
  Point centre;        ///< the image point (image px) in the middle of the pane
  double scale = 0;    ///< view px per image px; 0: not yet fitted
  bool fitted = true;  ///< follows the pane's size until the user zooms or pans

  Point to_view(Point image, const Rect& pane) const;
  Point to_image(Point view, const Rect& pane) const;
};

inline constexpr double kSmallestScale = 0.05, kLargestScale = 1024;

/// The whole image in the pane, centred, as large as it goes.
Camera fit(const Rect& pane, int image_width, int image_height);
/// One image px is one device px: `ratio` device px per view px.
Camera one_to_one(int image_width, int image_height, double ratio);
/// Zooms by 2^(notches/8) about the view point, which keeps looking at the same image point.
Camera zoom_about(const Camera& camera, const Rect& pane, Point view, double notches);
/// Moves the image with the hand: `delta` in view px. At least a corner of the image stays in the pane.
Camera pan(const Camera& camera, const Rect& pane, Point delta, int image_width, int image_height);
/// A fitted camera is fitted again to the pane; any other is left as it is.
Camera follow(const Camera& camera, const Rect& pane, int image_width, int image_height);

}  // namespace ditscope::views
