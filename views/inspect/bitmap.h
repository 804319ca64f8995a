#pragma once
#include <cstdint>
#include <memory>
#include <vector>

namespace ditscope::views {

/// An image that never changes, so that whoever draws it may keep a texture of it under its id.
struct Bitmap {
  int width = 0, height = 0;
  std::vector<std::uint8_t> rgba;  // (Y,X,4), alpha not premultiplied
  std::uint64_t id = 0;            ///< of this process, never reused
};

/// @param rgba  (Y,X,4)   @throws Error{InvalidArgument} where the size is not 4 * width * height
std::shared_ptr<const Bitmap> make_bitmap(int width, int height, std::vector<std::uint8_t> rgba);

}  // namespace ditscope::views
