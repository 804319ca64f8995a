#include "views/state/camera.h"

#include <algorithm>
#include <cmath>

namespace ditscope::views {

Point Camera::to_view(Point image, const Rect& pane) const {
  return {pane.x + pane.width / 2 + (image.x - centre.x) * scale, pane.y + pane.height / 2 + (image.y - centre.y) * scale};
}

Point Camera::to_image(Point view, const Rect& pane) const {
  if (scale <= 0) return centre;
  return {centre.x + (view.x - pane.x - pane.width / 2) / scale, centre.y + (view.y - pane.y - pane.height / 2) / scale};
}

Camera fit(const Rect& pane, int image_width, int image_height) {
  Camera camera;
  camera.centre = {image_width / 2.0, image_height / 2.0};
  if (image_width <= 0 || image_height <= 0 || pane.width <= 0 || pane.height <= 0) return camera;
  camera.scale = std::clamp(std::min(pane.width / image_width, pane.height / image_height), kSmallestScale, kLargestScale);
  return camera;
}

Camera one_to_one(int image_width, int image_height, double ratio) {
  Camera camera;
  camera.centre = {image_width / 2.0, image_height / 2.0};
  camera.scale = 1.0 / ratio;
  camera.fitted = false;
  return camera;
}

Camera zoom_about(const Camera& camera, const Rect& pane, Point view, double notches) {
  if (camera.scale <= 0) return camera;
  const Point held = camera.to_image(view, pane);
  Camera zoomed = camera;
  zoomed.fitted = false;
  zoomed.scale = std::clamp(camera.scale * std::exp2(notches / 8.0), kSmallestScale, kLargestScale);
  zoomed.centre = {held.x - (view.x - pane.x - pane.width / 2) / zoomed.scale,
                   held.y - (view.y - pane.y - pane.height / 2) / zoomed.scale};
  return zoomed;
}

Camera pan(const Camera& camera, const Rect& pane, Point delta, int image_width, int image_height) {
  if (camera.scale <= 0) return camera;
  Camera moved = camera;
  moved.fitted = false;
  const double margin_x = pane.width / 2 / camera.scale, margin_y = pane.height / 2 / camera.scale;
  moved.centre.x = std::clamp(camera.centre.x - delta.x / camera.scale, -margin_x + 1, image_width + margin_x - 1);
  moved.centre.y = std::clamp(camera.centre.y - delta.y / camera.scale, -margin_y + 1, image_height + margin_y - 1);
  return moved;
}

Camera follow(const Camera& camera, const Rect& pane, int image_width, int image_height) {
  return camera.fitted || camera.scale <= 0 ? fit(pane, image_width, image_height) : camera;
}

}  // namespace ditscope::views
