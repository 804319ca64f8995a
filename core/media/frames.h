#pragma once
#include <cstddef>
#include <vector>

namespace ditscope {

/// Decoded pixels before any encoding: RGB, 0..1, row-major (F,Y,X,3).
struct Frames {
  int count = 0;   ///< F
  int height = 0;  ///< Y, px
  int width = 0;   ///< X, px
  double fps = 8.0;
  std::vector<float> rgb;  // (F,Y,X,3)

  std::size_t frame_size() const { return static_cast<std::size_t>(height) * width * 3; }
  const float* frame(int index) const { return rgb.data() + frame_size() * index; }
  float* frame(int index) { return rgb.data() + frame_size() * index; }
  bool empty() const { return count == 0; }
};

}  // namespace ditscope
