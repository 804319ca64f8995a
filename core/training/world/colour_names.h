#pragma once
#include <array>
#include <cmath>

#include "core/training/world/caption.h"
#include "core/training/world/segment.h"

namespace ditscope::world {

/// The hue by which a lit object of each colour is seen, degrees: the middle of what renders show.
inline float reference_hue(Colour colour) {
  constexpr std::array<float, kColourNames.size()> kHues{0, 26, 53, 137, 184, 225, 276, 330};
  return kHues[static_cast<std::size_t>(colour)];
}

inline Colour nearest_colour(float hue) {
  std::size_t best = 0;
  for (std::size_t colour = 1; colour < kColourNames.size(); ++colour) {
    if (std::fabs(hue_difference(hue, reference_hue(static_cast<Colour>(colour)))) <
        std::fabs(hue_difference(hue, reference_hue(static_cast<Colour>(best))))) {
      best = colour;
    }
  }
  return static_cast<Colour>(best);
}

}  // namespace ditscope::world
