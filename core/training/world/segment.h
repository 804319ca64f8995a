#pragma once
#include <cstdint>
#include <vector>

#include "core/media/frames.h"

namespace ditscope::world {

/// One frame at judging size.
struct JudgedFrame {
  int width = 0, height = 0;
  std::vector<float> rgb;  // (Y,X,3)
  const float* at(int x, int y) const { return rgb.data() + 3 * (static_cast<std::size_t>(y) * width + x); }
};

struct Mask {
  int width = 0, height = 0;
  std::vector<std::uint8_t> on;  // (Y,X)
  bool get(int x, int y) const {
    return x >= 0 && y >= 0 && x < width && y < height && on[static_cast<std::size_t>(y) * width + x] != 0;
  }
};

/// A connected patch of object pixels in one frame, its small gaps (highlights) closed.
struct Patch {
  Mask mask;
  int area = 0;                                  ///< pixels, a torus's hole left out
  int left = 0, right = 0, top = 0, bottom = 0;  ///< bounding box, inclusive
  float x = 0, y = 0;                            ///< centroid, pixels
  bool touches_border = false;
};

struct HueValue {
  float hue = 0;         ///< degrees, 0..360
  float saturation = 0;  ///< 0..1
  float value = 0;       ///< 0..1
};
HueValue hue_value(const float* rgb);

/// Degrees from one hue to another, -180..180.
float hue_difference(float from, float to);

/// The frames with their shorter side averaged down to 128 px or a little more (whole factors; smaller frames stay as they are).
std::vector<JudgedFrame> judging_pictures(const Frames& frames);

/// Pixels of strong colour: the world's objects are saturated and its sets are not.
/// @param threshold least saturation
Mask coloured_pixels(const JudgedFrame& picture, float threshold);

/// The saturation that separates objects from this clip's floor and backdrop.
float saturation_threshold(const std::vector<JudgedFrame>& pictures);

/// Connected patches of at least `least_area` pixels, largest first, with gaps filled that are highlights or tiny.
std::vector<Patch> patches_of(const Mask& mask, const JudgedFrame& picture, int least_area);

}  // namespace ditscope::world
