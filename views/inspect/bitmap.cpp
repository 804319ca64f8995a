#include "views/inspect/bitmap.h"

#include <atomic>

#include "kernels/error.h"

namespace ditscope::views {

std::shared_ptr<const Bitmap> make_bitmap(int width, int height, std::vector<std::uint8_t> rgba) {
  if (width < 1 || height < 1 || rgba.size() != std::size_t{4} * width * height) {
    throw Error{ErrorKind::InvalidArgument, "a bitmap of " + std::to_string(width) + " x " + std::to_string(height) + " takes 4 bytes a pixel, got " +
                                                std::to_string(rgba.size())};
  }
  static std::atomic<std::uint64_t> last{0};
  return std::make_shared<const Bitmap>(Bitmap{width, height, std::move(rgba), ++last});
}

}  // namespace ditscope::views
