#pragma once
#include "core/training/world/caption.h"
#include "core/training/world/vec.h"

namespace ditscope::world {

/// Linear colour of an object's surface, from its colour name and its own hue shift and brightness.
Vec3 albedo_of(const SceneObject& object);

/// What a ray finds of floor and wall, lit as if there were no objects.
struct SetPoint {
  Vec3 colour;
  Vec3 floor_albedo;  ///< zero on the wall; times key and sky light gives `colour`
  Vec3 point;
  bool is_floor = false;
};

/// Floor and backdrop of a scene.
class Set {
 public:
  explicit Set(const Scene& scene);

  /// @param footprint width of the ray at distance 1, by which patterns are filtered
  SetPoint ray(Vec3 origin, Vec3 direction, float footprint) const;

  /// What a mirror at this point shows, the room behind the camera included.
  Vec3 around(Vec3 point, Vec3 direction, float footprint) const;

  Vec3 sky() const { return sky_; }
  Vec3 floor_tone() const { return floor_tone_; }
  /// Light on the floor without objects: of the key light and of the sky.
  Vec3 floor_key() const { return {0.84F, 0.815F, 0.78F}; }
  Vec3 floor_sky() const { return sky_ * 0.42F; }

 private:
  Vec3 floor_pattern(float x, float z, float width_x, float width_z) const;
  Vec3 wall(float x, float y) const;

  Floor floor_;
  Vec3 backdrop_, sky_, floor_tone_;
  float spot_x_, shift_x_, shift_z_;
};

}  // namespace ditscope::world
