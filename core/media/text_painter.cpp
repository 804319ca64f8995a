#include "core/media/text_painter.h"

#include <ft2build.h>
#include FT_FREETYPE_H

#include <algorithm>
#include <cstddef>
#include <cstdint>

#include "core/media/utf8.h"
#include "kernels/error.h"

// The font file becomes part of the program, so that a headless run needs no installed fonts.
asm(".section .rodata\n"
    ".balign 16\n"
    ".global ditscope_label_font\n"
    "ditscope_label_font:\n"
    ".incbin \"" DITSCOPE_LABEL_FONT "\"\n"
    ".global ditscope_label_font_end\n"
    "ditscope_label_font_end:\n"
    ".byte 0\n"
    ".previous\n");
extern "C" const unsigned char ditscope_label_font[];
extern "C" const unsigned char ditscope_label_font_end[];

namespace ditscope {

struct TextPainter::Impl {
  FT_Library library = nullptr;
  FT_Face face = nullptr;

  Impl() {
    const auto size = static_cast<FT_Long>(ditscope_label_font_end - ditscope_label_font);
    if (FT_Init_FreeType(&library) != 0 || FT_New_Memory_Face(library, ditscope_label_font, size, 0, &face) != 0) {
      FT_Done_FreeType(library);
      throw Error(ErrorKind::Corrupt, "expected the built-in font to load, but FreeType refuses it; build the program again");
    }
  }
  ~Impl() {
    FT_Done_Face(face);
    FT_Done_FreeType(library);
  }

  /// Loads a glyph; false where FreeType cannot, which then takes no room.
  bool load(std::uint32_t point, int size_px, FT_Int32 flags) {
    FT_Set_Pixel_Sizes(face, 0, static_cast<FT_UInt>(size_px));
    return FT_Load_Glyph(face, FT_Get_Char_Index(face, point), flags) == 0;
  }
};

TextPainter::TextPainter() : impl_(std::make_unique<Impl>()) {}
TextPainter::~TextPainter() = default;

int TextPainter::width_px(std::string_view utf8, int size_px) {
  long advance = 0;  // 26.6 fixed point
  for (std::size_t at = 0; at < utf8.size();) {
    const CodePoint point = next_code_point(utf8, at);
    if (impl_->load(point.value, size_px, FT_LOAD_DEFAULT)) advance += impl_->face->glyph->advance.x;
    at = point.end;
  }
  return static_cast<int>((advance + 63) / 64);
}

void TextPainter::draw(Frames& frames, int index, int left, int baseline, std::string_view utf8, int size_px, Colour colour) {
  long pen = static_cast<long>(left) * 64;
  for (std::size_t at = 0; at < utf8.size();) {
    const CodePoint point = next_code_point(utf8, at);
    at = point.end;
    if (!impl_->load(point.value, size_px, FT_LOAD_RENDER)) continue;
    const FT_GlyphSlot glyph = impl_->face->glyph;
    const FT_Bitmap& bitmap = glyph->bitmap;
    const int x0 = static_cast<int>(pen / 64) + glyph->bitmap_left;
    const int y0 = baseline - glyph->bitmap_top;
    for (int v = std::max(0, -y0); v < static_cast<int>(bitmap.rows) && y0 + v < frames.height; ++v) {
      for (int u = std::max(0, -x0); u < static_cast<int>(bitmap.width) && x0 + u < frames.width; ++u) {
        const float coverage = static_cast<float>(bitmap.buffer[v * bitmap.pitch + u]) / 255.0f;
        float* pixel = frames.frame(index) + (static_cast<std::size_t>(y0 + v) * frames.width + x0 + u) * 3;
        for (int c = 0; c < 3; ++c) pixel[c] += (colour[c] - pixel[c]) * coverage;
      }
    }
    pen += glyph->advance.x;
  }
}

std::string TextPainter::fit(std::string_view utf8, int size_px, int room_px) {
  constexpr std::string_view kEllipsis = "\u2026";
  const long room = static_cast<long>(room_px) * 64;
  const long beside_ellipsis = room - static_cast<long>(width_px(kEllipsis, size_px)) * 64;
  long advance = 0;
  std::size_t kept = 0;  // bytes that leave room for the ellipsis
  for (std::size_t at = 0; at < utf8.size();) {
    const CodePoint point = next_code_point(utf8, at);
    if (impl_->load(point.value, size_px, FT_LOAD_DEFAULT)) advance += impl_->face->glyph->advance.x;
    at = point.end;
    if (advance <= beside_ellipsis) kept = at;
    if (advance > room) {
      while (kept > 0 && utf8[kept - 1] == ' ') --kept;
      return beside_ellipsis < 0 ? std::string() : std::string(utf8.substr(0, kept)).append(kEllipsis);
    }
  }
  return std::string(utf8);
}

}  // namespace ditscope
