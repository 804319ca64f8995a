#pragma once
#include <cstdio>
#include <string>

namespace ditscope::cli {

/// printf into a string; a line of output, at most 511 bytes.
template <typename... Values>
std::string print(const char* format, Values... values) {
  char text[512];
  std::snprintf(text, sizeof text, format, values...);
  return text;
}

}  // namespace ditscope::cli
