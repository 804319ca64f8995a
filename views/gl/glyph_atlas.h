#pragma once
#include <cstdint>
#include <map>
#include <tuple>

#include "views/gl/gl_objects.h"
#include "views/inspect/glyph_fonts.h"

namespace ditscope::gl {

/// Characters as they are needed, each drawn once by FreeType at its size in device px, in one texture. Starts anew when it is full;
/// so ask for all characters of a frame before they are shown, and ask again in the next.
class GlyphAtlas {
 public:
  struct Place {
    float u0 = 0, v0 = 0, u1 = 0, v1 = 0;
    int left = 0, top = 0, width = 0, height = 0;  ///< px against pen and baseline
  };
  /// @return null where there is no room left in this frame, or nothing to draw (a space)
  const Place* find(const views::FontGlyph& glyph, double size_px);
  /// Before a frame: where the last one ran out of room, everything is forgotten.
  void begin_frame();
  void* imgui_id() const { return texture_.imgui_id(); }
  void release();

 private:
  Texture texture_;
  std::map<std::tuple<int, std::uint32_t, int>, Place> places_;
  int x_ = 0, y_ = 0, row_height_ = 0;
  bool full_ = false;
};

}  // namespace ditscope::gl
