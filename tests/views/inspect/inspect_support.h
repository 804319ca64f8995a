#pragma once
#include <fstream>
#include <sstream>

#include "views/state/theme.h"

namespace ditscope::views {

/// The theme of the sources.
inline const Theme& theme_for_tests(bool dark = true) {
  static const std::string kText = [] {
    std::ifstream file(DITSCOPE_SOURCE_DIR "/resources/theme/tokens.json");
    std::ostringstream text;
    text << file.rdbuf();
    return text.str();
  }();
  static const Theme kDark = parse_theme(kText, true), kLight = parse_theme(kText, false);
  return dark ? kDark : kLight;
}

}  // namespace ditscope::views
