#pragma once
#include <cmath>
#include <cstdint>
#include <random>

#include "core/media/frames.h"

namespace ditscope::test {

/// Frames of one colour.
inline Frames flat(int count, int height, int width, float r, float g, float b) {
  Frames frames{count, height, width, 8.0, {}};
  frames.rgb.resize(frames.frame_size() * count);
  const float colour[3] = {r, g, b};
  for (std::size_t i = 0; i < frames.rgb.size(); ++i) frames.rgb[i] = colour[i % 3];
  return frames;
}

/// Independent uniform values: the hardest picture for a codec, the plainest for a metric.
inline Frames noise(int count, int height, int width, std::uint32_t seed) {
  Frames frames{count, height, width, 8.0, {}};
  frames.rgb.resize(frames.frame_size() * count);
  std::mt19937 generator(seed);
  std::uniform_real_distribution<float> uniform(0, 1);
  for (float& value : frames.rgb) value = uniform(generator);
  return frames;
}

/// A smooth coloured pattern that moves: what generated videos look like to a codec.
inline Frames waves(int count, int height, int width) {
  Frames frames{count, height, width, 8.0, {}};
  frames.rgb.resize(frames.frame_size() * count);
  std::size_t at = 0;
  for (int f = 0; f < count; ++f) {
    for (int y = 0; y < height; ++y) {
      for (int x = 0; x < width; ++x) {
        frames.rgb[at++] = 0.5f + 0.45f * std::sin(0.11f * static_cast<float>(x + 2 * f));
        frames.rgb[at++] = 0.5f + 0.45f * std::sin(0.07f * static_cast<float>(y) + 0.3f * static_cast<float>(f));
        frames.rgb[at++] = 0.5f + 0.45f * std::cos(0.05f * static_cast<float>(x + y));
      }
    }
  }
  return frames;
}

inline float largest_difference(const Frames& a, const Frames& b) {
  if (a.rgb.size() != b.rgb.size()) return INFINITY;
  float largest = 0;
  for (std::size_t i = 0; i < a.rgb.size(); ++i) largest = std::max(largest, std::abs(a.rgb[i] - b.rgb[i]));
  return largest;
}

}  // namespace ditscope::test
