#include "views/state/words.h"

#include <cmath>
#include <cstdio>

namespace ditscope::views {
namespace {

template <typename... Args>
std::string print(const char* format, Args... args) {
  char text[96];
  std::snprintf(text, sizeof text, format, args...);
  return text;
}

}  // namespace

std::string clock_text(double seconds) {
  const long whole = std::lround(std::fmax(0.0, seconds));
  if (whole >= 3600) return print("%ld:%02ld:%02ld", whole / 3600, whole / 60 % 60, whole % 60);
  return print("%ld:%02ld", whole / 60, whole % 60);
}

std::string seconds_text(double seconds) {
  if (seconds < 0.9995) return print("%.0f ms", seconds * 1000);
  if (seconds < 99.95) return print("%.1f s", seconds);
  if (seconds < 600) return print("%.0f s", seconds);
  return clock_text(seconds) + (seconds < 3600 ? " min" : " h");
}

std::string percent_text(double ratio) {
  const double percent = ratio * 100;
  if (std::fabs(percent - 100) < 0.05) return "100 %";
  return print("%.1f %%", percent);
}

std::string factor_text(double factor) {
  return print("%.2f \u00d7", factor);
}

std::string gigabytes_text(std::int64_t bytes) {
  return print("%.1f", static_cast<double>(bytes) / 1e9);
}

std::string size_text(std::int64_t bytes) {
  const double value = static_cast<double>(bytes);
  if (value >= 1e9) return print("%.1f GB", value / 1e9);
  if (value >= 1e6) return print("%.0f MB", value / 1e6);
  return print("%.0f kB", value / 1e3);
}

std::string decibel_text(double db) {
  // The recipe floors the error at 1e-10, so equal frames give exactly 100 dB.
  return db >= 99.95 ? "identical" : print("%.1f dB", db);
}

std::string number_text(double value, int digits) {
  return print("%.*f", digits, value);
}

std::string kept_text(double kept_ratio) {
  return "kept " + percent_text(kept_ratio);
}

std::string skipped_text(double kept_ratio) {
  return "skipped " + percent_text(1 - kept_ratio);
}

}  // namespace ditscope::views
