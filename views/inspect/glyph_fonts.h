#pragma once
#include <cstdint>
#include <string_view>
#include <vector>

#include "views/inspect/canvas.h"

namespace ditscope::views {

/// The fonts that canvases draw with, built into the program: Inter, JetBrains Mono, and DejaVu Sans for what those lack.
enum class FontFile { Words, WordsStrong, Numbers, Fallback };
inline constexpr int kFontFiles = 4;
std::string_view font_file(FontFile file);
/// resources/theme/tokens.json, so that pictures have their colours without a window.
std::string_view theme_tokens();
/// @throws Error{Corrupt} where the program was built with broken tokens
Theme built_in_theme(bool dark);

/// Where the baseline lies below the point of a text, and above which its ascenders reach, in em: Inter's, for every face, so that
/// words and numbers stand on one line.
inline constexpr double kAscent_em = 0.96875, kDescent_em = 0.2412, kMiddle_em = 0.3636;
/// Baseline below (or above, negative) the point that a text hangs on, in em.
double baseline_em(Align vertical);

/// A character as a font draws it.
struct FontGlyph {
  FontFile file = FontFile::Words;
  std::uint32_t index = 0;  ///< of the glyph in the file; 0: its empty box
  double advance_em = 0;
};

/// Coverage of a glyph at a size: 8 bits a pixel.
struct GlyphPixels {
  int width = 0, height = 0;
  int left = 0, top = 0;  ///< of the first pixel against pen and baseline, y down
  std::vector<std::uint8_t> coverage;  // (Y,X)
};

// Safe on any thread. A character that no font has shows as the face's empty box; broken UTF-8 as U+FFFD.
FontGlyph find_glyph(Face face, std::uint32_t code_point);
std::vector<FontGlyph> shape_text(Face face, std::string_view utf8);
double text_width_em(Face face, std::string_view utf8);
GlyphPixels rasterise(const FontGlyph& glyph, double size_px);

}  // namespace ditscope::views
