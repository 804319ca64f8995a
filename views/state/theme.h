#pragma once
#include <map>
#include <string>
#include <string_view>

namespace ditscope::views {

/// sRGB, 0..1 each.
struct Rgb {
  float r = 0, g = 0, b = 0;
};

/// "#RRGGBB" -> Rgb. @throws Error{Corrupt}
Rgb parse_rgb(std::string_view text);
std::string to_hex(Rgb colour);
/// a towards b, in sRGB.
Rgb mix(Rgb a, Rgb b, float amount);
/// WCAG 2 contrast ratio, 1..21.
double contrast_ratio(Rgb a, Rgb b);

/// The colours, sizes and families of resources/theme/tokens.json for one light: the only place where the window, ImGui and the
/// shaders get a colour from.
struct Theme {
  bool dark = true;
  std::map<std::string, Rgb, std::less<>> colours;
  std::map<std::string, double, std::less<>> metrics;     ///< px at text scale 1
  std::map<std::string, double, std::less<>> type_sizes;  ///< px at text scale 1
  std::string words_family, numbers_family;

  /// @throws Error{NotFound} naming the token
  Rgb colour(std::string_view token) const;
  double metric(std::string_view token) const;
  /// Colour of run 0 (A), 1 (B), 2 (C), 3 (D).
  Rgb run(int index) const;
};

/// @param json text of tokens.json   @throws Error{Corrupt} where it is no such file
Theme parse_theme(std::string_view json, bool dark);

}  // namespace ditscope::views
