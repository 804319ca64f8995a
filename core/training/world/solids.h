#pragma once
#include <algorithm>

#include "core/training/world/caption.h"
#include "core/training/world/vec.h"

namespace ditscope::world {

// Unit solids as signed distances: about 2 units high, centred on the origin, y up. A cone's and a diamond's are lower bounds
// outside.
template <Shape shape>
float distance_to(Vec3 p);

template <>
inline float distance_to<Shape::Sphere>(Vec3 p) {
  return length(p) - 1;
}

template <>
inline float distance_to<Shape::Cube>(Vec3 p) {
  constexpr float kRound = 0.07F, kHalf = 0.8F - kRound;
  const Vec3 q{std::fabs(p.x) - kHalf, std::fabs(p.y) - kHalf, std::fabs(p.z) - kHalf};
  const Vec3 outside{std::max(q.x, 0.0F), std::max(q.y, 0.0F), std::max(q.z, 0.0F)};
  return length(outside) + std::min(std::max(q.x, std::max(q.y, q.z)), 0.0F) - kRound;
}

template <>
inline float distance_to<Shape::Cylinder>(Vec3 p) {
  constexpr float kRound = 0.05F;
  const float side = std::sqrt(p.x * p.x + p.z * p.z) - (0.68F - kRound);
  const float end = std::fabs(p.y) - (1 - kRound);
  const float a = std::max(side, 0.0F), b = std::max(end, 0.0F);
  return std::min(std::max(side, end), 0.0F) + std::sqrt(a * a + b * b) - kRound;
}

template <>
inline float distance_to<Shape::Cone>(Vec3 p) {
  // Base radius 0.88 at y = -1, apex at y = 1: the slant's outward normal is (2, 0.88) / |(2, 0.88)|.
  constexpr float kAcross = 0.91532F, kUp = 0.40274F;
  const float radius = std::sqrt(p.x * p.x + p.z * p.z);
  return std::max(radius * kAcross + (p.y - 1) * kUp, -1 - p.y);
}

template <>
inline float distance_to<Shape::Torus>(Vec3 p) {
  const float across = std::sqrt(p.x * p.x + p.y * p.y) - 0.72F;
  return std::sqrt(across * across + p.z * p.z) - 0.28F;
}

template <>
inline float distance_to<Shape::Diamond>(Vec3 p) {
  // An octahedron with corners at 0.86 along x and z and at 1.12 along y.
  constexpr float kAcross = 1 / 0.86F, kUp = 1 / 1.12F;
  constexpr float kScale = 0.54045F;  // 1 / |(kAcross, kUp, kAcross)|
  return (std::fabs(p.x) * kAcross + std::fabs(p.y) * kUp + std::fabs(p.z) * kAcross - 1) * kScale;
}

/// Radius of a sphere around the unit solid.
inline float bounding_radius(Shape shape) {
  constexpr float kRadii[] = {1.0F, 1.36F, 1.21F, 1.34F, 1.0F, 1.12F};
  return kRadii[static_cast<int>(shape)];
}

/// Where a ray (unit direction) enters and leaves a sphere around the origin; first > second where it misses.
struct Span {
  float first = 1, second = 0;
};

inline Span sphere_span(Vec3 origin, Vec3 direction, float radius) {
  const float along = -dot(origin, direction);
  const float root = radius * radius - dot(origin, origin) + along * along;
  if (root < 0) return {};
  const float half = std::sqrt(root);
  return {along - half, along + half};
}

/// Distance along the ray to the solid, or -1. Sphere tracing within the bounding sphere.
template <Shape shape>
float trace(Vec3 origin, Vec3 direction, Span span) {
  if (shape == Shape::Sphere) return span.first > 0 ? span.first : -1;
  float t = std::max(span.first, 0.0F);
  for (int step = 0; step < 48 && t < span.second; ++step) {
    const float gap = distance_to<shape>(origin + direction * t);
    if (gap < 0.002F) return t;
    t += gap;
  }
  return -1;
}

template <Shape shape>
Vec3 normal_at(Vec3 p) {
  if (shape == Shape::Sphere) return normalised(p);
  constexpr float kStep = 0.004F;
  const float a = distance_to<shape>(p + Vec3{kStep, -kStep, -kStep}), b = distance_to<shape>(p + Vec3{-kStep, -kStep, kStep});
  const float c = distance_to<shape>(p + Vec3{-kStep, kStep, -kStep}), d = distance_to<shape>(p + Vec3{kStep, kStep, kStep});
  return normalised(Vec3{a - b - c + d, -a - b + c + d, -a + b - c + d});
}

/// Share of a round light that a point sees past the solid, 0..1. `spread`: tangent of the light's angular radius.
template <Shape shape>
float light_seen(Vec3 origin, Vec3 direction, float first, float last, float spread) {
  float seen = 1;
  float t = std::max(first, 0.03F);
  for (int step = 0; step < 28 && t < last; ++step) {
    const float gap = distance_to<shape>(origin + direction * t);
    seen = std::min(seen, 0.5F + 0.5F * gap / (spread * t));
    if (seen <= 0) return 0;
    t += std::clamp(gap, 0.05F, 0.4F);
  }
  return seen * seen * (3 - 2 * seen);
}

}  // namespace ditscope::world
