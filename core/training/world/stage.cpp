#include "core/training/world/stage.h"

#include <algorithm>
#include <numbers>

namespace ditscope::world {
namespace {

constexpr float kTurn = 2 * std::numbers::pi_v<float>;
constexpr float kLensShift = 0.5F;    // moves the image up, half heights: the floor fills its lower half
constexpr float kZoomPivot = -0.26F;  // slope that zooming keeps in place, half heights
constexpr float kTopOfView = 3.25F;   // highest visible point above the origin
constexpr float kSideOfView = 2.14F;  // half the visible width at the origin, less a margin

float base_radius(const Scene& scene, int index) {
  const SceneObject& object = scene.objects[index];
  const bool large = object.size == Size::Large;
  if (scene.object_count == 2) return object.scale * (large ? 0.78F : 0.53F);
  return object.scale * (large ? 0.98F : 0.6F);
}

/// Yaw from which a shape is recognised best: two faces of a cube, the hole of a torus.
float best_yaw(Shape shape) {
  switch (shape) {
    case Shape::Cube:
      return -0.55F;
    case Shape::Torus:
      return 0.35F;
    case Shape::Diamond:
      return 0.35F;
    default:
      return 0;
  }
}

/// 0..1 with gentle ends.
float eased(float moment) {
  return 0.7F * moment + 0.3F * moment * moment * (3 - 2 * moment);
}

/// Sideways place and travel of one object.
void place_sideways(const Scene& scene, int index, float moment, Pose& pose) {
  const float room = kSideOfView - 1.05F * pose.radius;
  const bool two = scene.object_count == 2;
  float home = 0.5F * scene.x * room;
  if (two) home = (index == 0 ? -1.1F : 1.1F) + 0.08F * scene.x;
  if (!two && scene.camera != CameraMove::Still) home = 0.15F * scene.x;
  if (scene.motion == Motion::MovesLeft || scene.motion == Motion::MovesRight) {
    const float reach = (two ? 0.5F : room) * (scene.speed - 0.1F);
    const float travelled = reach * (2 * eased(moment) - 1);
    home = (two ? home : 0) + (scene.motion == Motion::MovesRight ? travelled : -travelled);
  }
  pose.centre.x = home;
  pose.centre.z = 0.3F * scene.depth;
}

void orbit(const Scene& scene, int index, float moment, Pose& pose) {
  const bool two = scene.object_count == 2;
  const float start = two ? 0.5F + 0.14F * (scene.phase - 0.5F) + 0.5F * static_cast<float>(index) : scene.phase;
  const float angle = kTurn * (start + scene.turn * 1.1F * scene.speed * moment);
  pose.centre.x = std::cos(angle) * (two ? 1.15F : 0.95F * (kSideOfView - 1.05F * pose.radius));
  pose.centre.z = std::sin(angle) * (two ? 1.0F : 0.9F);
}

/// Height above the resting place.
float lift(const Scene& scene, int index, float moment, const Pose& pose) {
  const float top = kTopOfView - 2 * resting_height(scene.objects[index].shape) * pose.radius;
  const float room = std::min(1.5F, top) * (scene.speed - 0.1F) * (scene.camera == CameraMove::ZoomsIn ? 0.65F : 1.0F);
  switch (scene.motion) {
    case Motion::MovesUp:
      return room * eased(moment);
    case Motion::MovesDown:
      return room * (1 - eased(moment));
    case Motion::Bounces: {
      const float beat = 2.5F * scene.speed * moment + scene.phase + 0.35F * static_cast<float>(index);
      const float part = beat - std::floor(beat);
      return 0.9F * room * 4 * part * (1 - part);
    }
    default:
      return 0;
  }
}

}  // namespace

float resting_height(Shape shape) {
  switch (shape) {
    case Shape::Cube:
      return 0.8F;
    case Shape::Torus:
      return 0.98F;
    case Shape::Diamond:
      return 1.12F;
    default:
      return 1;
  }
}

Stage stage_at(const Scene& scene, float moment) {
  Stage stage;
  for (int index = 0; index < scene.object_count; ++index) {
    const SceneObject& object = scene.objects[index];
    Pose& pose = stage.poses[index];
    pose.radius = base_radius(scene, index);
    place_sideways(scene, index, moment, pose);
    if (scene.motion == Motion::Orbits) orbit(scene, index, moment, pose);
    if (scene.motion == Motion::Grows) pose.radius *= 0.8F + 0.64F * moment;  // by 1.8 in all
    pose.yaw = best_yaw(object.shape) + object.yaw;
    if (scene.motion == Motion::Spins) pose.yaw += scene.turn * kTurn * 1.25F * scene.speed * moment;
    pose.centre.y = resting_height(object.shape) * pose.radius + lift(scene, index, moment, pose);
  }
  const float sweep = 0.19F * (2 * eased(moment) - 1);
  if (scene.camera == CameraMove::PansLeft || scene.camera == CameraMove::PansRight) {
    stage.camera_cosine = std::cos(sweep);
    stage.camera_sine = scene.camera == CameraMove::PansLeft ? std::sin(sweep) : -std::sin(sweep);
  }
  if (scene.camera == CameraMove::ZoomsIn) stage.zoom = 1 + 0.5F * eased(moment);
  return stage;
}

Vec3 ray_direction(const Stage& stage, float image_x, float image_y) {
  const float x = image_x / stage.zoom * kHalfTangent;
  const float y = ((image_y - kLensShift - kZoomPivot) / stage.zoom + kZoomPivot) * kHalfTangent;
  return {stage.camera_cosine * x - stage.camera_sine, y, -stage.camera_sine * x - stage.camera_cosine};
}

}  // namespace ditscope::world
