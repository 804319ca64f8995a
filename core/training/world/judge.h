#pragma once
#include <array>
#include <string_view>
#include <vector>

#include "core/media/frames.h"
#include "core/training/world/caption.h"

namespace ditscope::world {

/// What the pixels of one object say.
struct JudgedObject {
  Shape shape = Shape::Sphere;
  Colour colour = Colour::Red;
  Material material = Material::Matte;
  float radius = 0;  ///< world units, over the clip
};

/// What the pixels of a clip say: nothing else goes in.
struct Judgement {
  std::vector<JudgedObject> objects;  ///< left to right at the start; at most two; empty where no object stands out
  Size size = Size::Small;            ///< of a lone object
  Motion motion = Motion::StaysStill;
  CameraMove camera = CameraMove::Still;
  Floor floor = Floor::Plain;
  Backdrop backdrop = Backdrop::Slate;
};

/// Measures a clip by classical image analysis: objects stand out by saturation, their hue names the colour, their outline the
/// shape, their track the motion; the band above the horizon names the backdrop, its drift the camera's move, the lower part the
/// floor.
/// @throws Error{InvalidArgument} where there is no frame or one is smaller than 32 x 32
Judgement judge(const Frames& frames);

inline constexpr std::array<std::string_view, 9> kScoredAttributes{"count",  "colour", "shape", "size",    "material",
                                                                   "motion", "camera", "floor", "backdrop"};

/// Per attribute, in the order of kScoredAttributes: 1 where the clip is as asked, 0 where not, between where one of two objects
/// is. Size is small or large for a lone object, and for two which is the larger (or that they are alike).
struct Score {
  std::array<float, kScoredAttributes.size()> values{};
  float of(std::string_view attribute) const;
  float mean() const;
};

Score compare(const Scene& asked, const Judgement& judgement);

}  // namespace ditscope::world
