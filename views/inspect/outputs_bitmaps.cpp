#include "views/inspect/outputs_bitmaps.h"

#include <algorithm>
#include <cmath>

#include "views/inspect/colour_map.h"

namespace ditscope::views {

std::shared_ptr<const Bitmap> bitmap_of(const Frames& frames, int frame) {
  const std::size_t pixels = static_cast<std::size_t>(frames.width) * frames.height;
  std::vector<std::uint8_t> rgba(4 * pixels);
  const float* rgb = frames.frame(frame);
  for (std::size_t i = 0; i < pixels; ++i) {
    const float* pixel = rgb + 3 * i;
    Rgb colour{pixel[0], pixel[1], pixel[2]};
    if (std::isnan(pixel[0]) || std::isnan(pixel[1]) || std::isnan(pixel[2])) {
      colour = ColourMap::kNan;
    } else if (std::isinf(pixel[0]) || std::isinf(pixel[1]) || std::isinf(pixel[2])) {
      colour = ColourMap::kInfinity;
    }
    const float channels[3] = {colour.r, colour.g, colour.b};
    for (int c = 0; c < 3; ++c) rgba[4 * i + c] = static_cast<std::uint8_t>(std::clamp(channels[c], 0.0F, 1.0F) * 255 + 0.5F);
    rgba[4 * i + 3] = 255;
  }
  return make_bitmap(frames.width, frames.height, std::move(rgba));
}

std::shared_ptr<const Bitmap> FrameBitmaps::get(const std::shared_ptr<const Frames>& frames, int frame) {
  Entry& entry = entries_[{frames.get(), frame}];
  entry.used = ++clock_;
  if (!entry.bitmap || entry.frames.lock() != frames) {
    entry.frames = frames;
    entry.bitmap = bitmap_of(*frames, frame);
  }
  const std::shared_ptr<const Bitmap> bitmap = entry.bitmap;
  while (entries_.size() > most_) {
    entries_.erase(std::min_element(entries_.begin(), entries_.end(), [](const auto& a, const auto& b) { return a.second.used < b.second.used; }));
  }
  return bitmap;
}

}  // namespace ditscope::views
