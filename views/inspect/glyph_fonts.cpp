#include "views/inspect/glyph_fonts.h"

#include <ft2build.h>
#include FT_FREETYPE_H

#include <array>
#include <cmath>
#include <map>
#include <mutex>
#include <string>

#include "core/media/utf8.h"
#include "kernels/error.h"

// Files become part of the program, so that a headless run needs no installed fonts and no folder of resources.
#define DITSCOPE_EMBED(name, file)  \
  asm(".section .rodata\n"          \
      ".balign 16\n"                \
      ".global " #name "\n" #name   \
      ":\n"                         \
      ".incbin \"" file             \
      "\"\n"                        \
      ".global " #name "_end\n"     \
      #name "_end:\n"               \
      ".byte 0\n"                   \
      ".previous\n");               \
  extern "C" const char name[];     \
  extern "C" const char name##_end[];

DITSCOPE_EMBED(ditscope_canvas_words, DITSCOPE_CANVAS_WORDS)
DITSCOPE_EMBED(ditscope_canvas_words_strong, DITSCOPE_CANVAS_WORDS_STRONG)
DITSCOPE_EMBED(ditscope_canvas_numbers, DITSCOPE_CANVAS_NUMBERS)
DITSCOPE_EMBED(ditscope_canvas_fallback, DITSCOPE_CANVAS_FALLBACK)
DITSCOPE_EMBED(ditscope_canvas_theme, DITSCOPE_CANVAS_THEME)

namespace ditscope::views {
namespace {

std::string_view between(const char* begin, const char* end) { return {begin, static_cast<std::size_t>(end - begin)}; }

/// Lives as long as the program: a canvas may be drawn on while it ends.
struct Fonts {
  std::mutex mutex;
  FT_Library library = nullptr;
  std::array<FT_Face, kFontFiles> faces{};
  std::map<std::pair<int, std::uint32_t>, FontGlyph> known;

  Fonts() {
    bool ok = FT_Init_FreeType(&library) == 0;
    for (int i = 0; ok && i < kFontFiles; ++i) {
      const std::string_view file = font_file(static_cast<FontFile>(i));
      ok = FT_New_Memory_Face(library, reinterpret_cast<const FT_Byte*>(file.data()), static_cast<FT_Long>(file.size()), 0, &faces[i]) == 0;
    }
    if (!ok) throw Error(ErrorKind::Corrupt, "expected the built-in fonts to load, but FreeType refuses one; build the program again");
  }
  static Fonts& shared() {
    static Fonts* const kFonts = new Fonts;
    return *kFonts;
  }
  FontGlyph look_up(FontFile file, std::uint32_t code_point, bool or_box) const {
    FT_Face face = faces[static_cast<int>(file)];
    FontGlyph glyph{file, FT_Get_Char_Index(face, code_point), -1};
    if (glyph.index == 0 && !or_box) return glyph;
    glyph.advance_em = 0;
    if (FT_Load_Glyph(face, glyph.index, FT_LOAD_NO_SCALE) == 0) {
      glyph.advance_em = static_cast<double>(face->glyph->advance.x) / face->units_per_EM;
    }
    return glyph;
  }
};

FontFile file_of(Face face) {
  return face == Face::Numbers ? FontFile::Numbers : face == Face::WordsStrong ? FontFile::WordsStrong : FontFile::Words;
}

}  // namespace

std::string_view font_file(FontFile file) {
  switch (file) {
    case FontFile::Words:
      return between(ditscope_canvas_words, ditscope_canvas_words_end);
    case FontFile::WordsStrong:
      return between(ditscope_canvas_words_strong, ditscope_canvas_words_strong_end);
    case FontFile::Numbers:
      return between(ditscope_canvas_numbers, ditscope_canvas_numbers_end);
    case FontFile::Fallback:
      break;
  }
  return between(ditscope_canvas_fallback, ditscope_canvas_fallback_end);
}

std::string_view theme_tokens() { return between(ditscope_canvas_theme, ditscope_canvas_theme_end); }

Theme built_in_theme(bool dark) { return parse_theme(theme_tokens(), dark); }

double baseline_em(Align vertical) {
  return vertical == Align::Begin ? kAscent_em : vertical == Align::Middle ? kMiddle_em : -kDescent_em;
}

FontGlyph find_glyph(Face face, std::uint32_t code_point) {
  Fonts& fonts = Fonts::shared();
  const std::lock_guard lock(fonts.mutex);
  const auto key = std::pair(static_cast<int>(face), code_point);
  if (const auto it = fonts.known.find(key); it != fonts.known.end()) return it->second;
  FontGlyph glyph = fonts.look_up(file_of(face), code_point, false);
  if (glyph.index == 0) glyph = fonts.look_up(FontFile::Fallback, code_point, false);
  if (glyph.index == 0) glyph = fonts.look_up(file_of(face), code_point, true);
  return fonts.known[key] = glyph;
}

std::vector<FontGlyph> shape_text(Face face, std::string_view utf8) {
  std::vector<FontGlyph> glyphs;
  glyphs.reserve(utf8.size());
  for (std::size_t at = 0; at < utf8.size();) {
    const CodePoint point = next_code_point(utf8, at);
    glyphs.push_back(find_glyph(face, point.value));
    at = point.end;
  }
  return glyphs;
}

double text_width_em(Face face, std::string_view utf8) {
  double width = 0;
  for (const FontGlyph& glyph : shape_text(face, utf8)) width += glyph.advance_em;
  return width;
}

GlyphPixels rasterise(const FontGlyph& glyph, double size_px) {
  Fonts& fonts = Fonts::shared();
  const std::lock_guard lock(fonts.mutex);
  FT_Face face = fonts.faces[static_cast<int>(glyph.file)];
  GlyphPixels pixels;
  if (FT_Set_Char_Size(face, 0, std::lround(size_px * 64), 72, 72) != 0 ||
      FT_Load_Glyph(face, glyph.index, FT_LOAD_RENDER | FT_LOAD_TARGET_LIGHT) != 0) {
    return pixels;
  }
  const FT_Bitmap& bitmap = face->glyph->bitmap;
  pixels.width = static_cast<int>(bitmap.width);
  pixels.height = static_cast<int>(bitmap.rows);
  pixels.left = face->glyph->bitmap_left;
  pixels.top = -face->glyph->bitmap_top;
  for (int y = 0; y < pixels.height; ++y) {
    const unsigned char* row = bitmap.buffer + y * bitmap.pitch;
    pixels.coverage.insert(pixels.coverage.end(), row, row + pixels.width);
  }
  return pixels;
}

}  // namespace ditscope::views
