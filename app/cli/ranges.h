#pragma once
#include <CLI/CLI.hpp>

#include <cmath>
#include <cstdlib>
#include <string>

namespace ditscope::cli {

/// Checks of numbers on the command line whose messages name the range in words.
inline CLI::Validator number_where(const char* range, const char* label, bool (*allowed)(double)) {
  return CLI::Validator(
      [range, allowed](std::string& text) {
        char* end = nullptr;
        const double value = std::strtod(text.c_str(), &end);
        const bool number = !text.empty() && *end == '\0' && std::isfinite(value);
        return number && allowed(value) ? "" : std::string("expected a number ") + range + ", got " + text + "; change it.";
      },
      label);
}

inline CLI::Validator above_zero() {
  return number_where("above 0", "POSITIVE", [](double x) { return x > 0; });
}
inline CLI::Validator from_zero() {
  return number_where("from 0", "NONNEGATIVE", [](double x) { return x >= 0; });
}
/// More threads than this only wait for each other.
inline CLI::Validator thread_count() {
  return number_where("of threads from 1 to 1024", "POSITIVE", [](double x) { return x >= 1 && x <= 1024; });
}

}  // namespace ditscope::cli
