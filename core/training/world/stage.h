#pragma once
#include <array>

#include "core/training/world/caption.h"
#include "core/training/world/vec.h"

namespace ditscope::world {

// The stage: a floor at y = 0, a wall at z = kWallZ, the camera at kCamera looking along -z with its lens shifted so that
// verticals stay vertical, objects around the origin. At the origin the frame's shorter side shows 2 * kHalfView units.
inline constexpr Vec3 kCamera{0, 2.2F, 6.4F};
inline constexpr float kWallZ = -4.5F;
inline constexpr float kHalfTangent = 0.36F;  ///< of half the field of view
inline constexpr float kHalfView = kCamera.z * kHalfTangent;

/// Where an object is at one moment.
struct Pose {
  Vec3 centre;
  float radius = 1;  ///< of the unit shape (solids.h)
  float yaw = 0;     ///< about the vertical axis, radians
};

struct Stage {
  std::array<Pose, 2> poses;
  float camera_cosine = 1, camera_sine = 0;  ///< of the camera's yaw, positive to the left
  float zoom = 1;
};

/// The scene at a moment of its clip: 0 is the first frame, 1 the last.
Stage stage_at(const Scene& scene, float moment);

/// Height of a resting object's centre above the floor, in radii.
float resting_height(Shape shape);

/// Direction of the ray through a point of the image, not normalised. Image points: y up, -1..1 along the shorter side.
Vec3 ray_direction(const Stage& stage, float image_x, float image_y);

}  // namespace ditscope::world
