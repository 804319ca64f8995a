#pragma once
#include <array>
#include <optional>

#include "core/training/world/caption.h"
#include "core/training/world/segment.h"

namespace ditscope::world {

/// A silhouette without its place and size: the covered share of each cell of a grid over its bounding box, and the box's
/// proportion.
struct Silhouette {
  static constexpr int kSide = 16;
  std::array<float, kSide * kSide> cover{};
  float log_aspect = 0;  ///< ln(width / height)
};

Silhouette silhouette_of(const Patch& patch);

/// How unlike two silhouettes are: mean difference of cover plus a share of the difference in proportion.
float unlikeness(const Silhouette& a, const Silhouette& b);

struct ShapeVote {
  Shape shape;
  float unlikeness;   ///< to the nearest view of that shape
  float unit_radius;  ///< square root of that view's width times height at radius 1, world units
};

/// The shape whose views from the stage's camera come nearest.
ShapeVote nearest_shape(const Silhouette& seen);

/// The nearest view of one given shape.
ShapeVote nearest_view(const Silhouette& seen, Shape shape);

}  // namespace ditscope::world
