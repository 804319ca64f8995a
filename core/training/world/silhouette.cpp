#include "core/training/world/silhouette.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include "core/training/world/solids.h"
#include "core/training/world/stage.h"

namespace ditscope::world {
namespace {

struct View {
  Shape shape;
  Silhouette silhouette;
  float unit_radius;
};

template <Shape shape>
bool hits(Vec3 eye, Vec3 direction, float cosine, float sine, float tilt) {
  const auto turned = [&](Vec3 v) {
    const Vec3 w{cosine * v.x - sine * v.z, v.y, sine * v.x + cosine * v.z};
    return Vec3{w.x, std::cos(tilt) * w.y + std::sin(tilt) * w.z, std::cos(tilt) * w.z - std::sin(tilt) * w.y};
  };
  const Vec3 from = turned(eye), way = turned(normalised(direction));
  const Span span = sphere_span(from, way, bounding_radius(shape));
  return span.first <= span.second && trace<shape>(from, way, span) >= 0;
}

/// The unit solid as the camera sees it from `rise` above its centre, through an upright image plane as on the stage.
template <Shape shape>
View view_of(float yaw, float rise) {
  constexpr int kPixels = 72;
  constexpr float kExtent = 1.55F;  // half the side of the drawn square
  const Vec3 eye{0, rise, kCamera.z};
  const float tilt = shape == Shape::Torus ? 0.2F : 0.0F;
  Patch patch;
  patch.mask = {kPixels, kPixels, std::vector<std::uint8_t>(kPixels * kPixels)};
  patch.left = patch.top = kPixels;
  patch.right = patch.bottom = -1;
  for (int y = 0; y < kPixels; ++y) {
    for (int x = 0; x < kPixels; ++x) {
      const float u = (2 * (static_cast<float>(x) + 0.5F) / kPixels - 1) * kExtent;
      const float v = (1 - 2 * (static_cast<float>(y) + 0.5F) / kPixels) * kExtent;
      if (!hits<shape>(eye, Vec3{u, v, 0} - eye, std::cos(yaw), std::sin(yaw), tilt)) continue;
      patch.mask.on[y * kPixels + x] = 1;
      ++patch.area;
      patch.left = std::min(patch.left, x);
      patch.right = std::max(patch.right, x);
      patch.top = std::min(patch.top, y);
      patch.bottom = std::max(patch.bottom, y);
    }
  }
  const float pixel = 2 * kExtent / kPixels;
  return {shape, silhouette_of(patch),
          pixel * std::sqrt(static_cast<float>((patch.right - patch.left + 1) * (patch.bottom - patch.top + 1)))};
}

template <Shape shape>
void add_views(std::vector<View>& views) {
  const bool turns = shape == Shape::Cube || shape == Shape::Torus || shape == Shape::Diamond;
  for (float rise : {0.2F, 1.2F, 2.0F}) {
    // A quarter turn shows all of a cube and a diamond; a ring repeats after half a turn, mirrored.
    const int count = turns ? 8 : 1;
    const float range = shape == Shape::Torus ? 3.1416F : 1.5708F;
    for (int index = 0; index < count; ++index) views.push_back(view_of<shape>(range * static_cast<float>(index) / 8, rise));
  }
}

const std::vector<View>& all_views() {
  static const std::vector<View> views = [] {
    std::vector<View> made;
    add_views<Shape::Sphere>(made);
    add_views<Shape::Cube>(made);
    add_views<Shape::Cylinder>(made);
    add_views<Shape::Cone>(made);
    add_views<Shape::Torus>(made);
    add_views<Shape::Diamond>(made);
    return made;
  }();
  return views;
}

}  // namespace

Silhouette silhouette_of(const Patch& patch) {
  constexpr int kSamples = 3;  // across a cell
  Silhouette result;
  const float width = static_cast<float>(patch.right - patch.left + 1), height = static_cast<float>(patch.bottom - patch.top + 1);
  result.log_aspect = std::log(width / height);
  constexpr int kFine = Silhouette::kSide * kSamples;
  for (int y = 0; y < kFine; ++y) {
    for (int x = 0; x < kFine; ++x) {
      const int px = patch.left + static_cast<int>((static_cast<float>(x) + 0.5F) / kFine * width);
      const int py = patch.top + static_cast<int>((static_cast<float>(y) + 0.5F) / kFine * height);
      if (patch.mask.get(px, py)) result.cover[y / kSamples * Silhouette::kSide + x / kSamples] += 1.0F / (kSamples * kSamples);
    }
  }
  return result;
}

float unlikeness(const Silhouette& a, const Silhouette& b) {
  float sum = 0;
  for (std::size_t cell = 0; cell < a.cover.size(); ++cell) sum += std::fabs(a.cover[cell] - b.cover[cell]);
  return sum / static_cast<float>(a.cover.size()) + 0.35F * std::fabs(a.log_aspect - b.log_aspect);
}

ShapeVote nearest_shape(const Silhouette& seen) {
  ShapeVote best{Shape::Sphere, 1e9F, 1};
  for (const View& view : all_views()) {
    const float value = unlikeness(seen, view.silhouette);
    if (value < best.unlikeness) best = {view.shape, value, view.unit_radius};
  }
  return best;
}

ShapeVote nearest_view(const Silhouette& seen, Shape shape) {
  ShapeVote best{shape, 1e9F, 1};
  for (const View& view : all_views()) {
    if (view.shape != shape) continue;
    const float value = unlikeness(seen, view.silhouette);
    if (value < best.unlikeness) best = {shape, value, view.unit_radius};
  }
  return best;
}

}  // namespace ditscope::world
