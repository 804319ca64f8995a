#include "views/gl/glyph_atlas.h"

#include <algorithm>
#include <cmath>

namespace ditscope::gl {
namespace {
constexpr int kSide_px = 1024;
}

void GlyphAtlas::begin_frame() {
  if (!texture_) texture_ = Texture::create(Texture::Kind::Coverage, kSide_px, kSide_px, false);
  if (!full_) return;
  places_.clear();
  x_ = y_ = row_height_ = 0;
  full_ = false;
}

const GlyphAtlas::Place* GlyphAtlas::find(const views::FontGlyph& glyph, double size_px) {
  const auto key = std::tuple(static_cast<int>(glyph.file), glyph.index, static_cast<int>(std::lround(size_px * 64)));
  if (const auto it = places_.find(key); it != places_.end()) return it->second.width > 0 ? &it->second : nullptr;
  const views::GlyphPixels pixels = views::rasterise(glyph, size_px);
  Place place{0, 0, 0, 0, pixels.left, pixels.top, pixels.width, pixels.height};
  if (pixels.width > 0 && pixels.height > 0) {
    if (x_ + pixels.width + 1 > kSide_px) {
      x_ = 0;
      y_ += row_height_ + 1;
      row_height_ = 0;
    }
    if (y_ + pixels.height > kSide_px || pixels.width > kSide_px) {
      full_ = true;
      return nullptr;
    }
    texture_.upload(x_, y_, pixels.width, pixels.height, pixels.coverage.data());
    constexpr float kSide = kSide_px;
    place.u0 = static_cast<float>(x_) / kSide;
    place.v0 = static_cast<float>(y_) / kSide;
    place.u1 = static_cast<float>(x_ + pixels.width) / kSide;
    place.v1 = static_cast<float>(y_ + pixels.height) / kSide;
    x_ += pixels.width + 1;
    row_height_ = std::max(row_height_, pixels.height);
  }
  const Place& kept = places_[key] = place;
  return kept.width > 0 ? &kept : nullptr;
}

void GlyphAtlas::release() {
  texture_ = Texture();
  places_.clear();
  x_ = y_ = row_height_ = 0;
}

}  // namespace ditscope::gl
