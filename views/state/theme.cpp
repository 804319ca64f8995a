#include "views/state/theme.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <nlohmann/json.hpp>

#include "kernels/error.h"

namespace ditscope::views {
namespace {

double linear(double value) {
  return value <= 0.04045 ? value / 12.92 : std::pow((value + 0.055) / 1.055, 2.4);
}

double luminance(Rgb colour) {
  return 0.2126 * linear(colour.r) + 0.7152 * linear(colour.g) + 0.0722 * linear(colour.b);
}

int digit(char character) {
  if (character >= '0' && character <= '9') return character - '0';
  if (character >= 'A' && character <= 'F') return character - 'A' + 10;
  if (character >= 'a' && character <= 'f') return character - 'a' + 10;
  return -1;
}

template <typename Map>
const typename Map::mapped_type& look_up(const Map& map, std::string_view token) {
  const auto found = map.find(token);
  if (found == map.end()) throw Error(ErrorKind::NotFound, "expected a token of tokens.json, got '" + std::string(token) + "'");
  return found->second;
}

}  // namespace

Rgb parse_rgb(std::string_view text) {
  const auto bad = [&] { return Error(ErrorKind::Corrupt, "expected a colour as #RRGGBB, got '" + std::string(text) + "'"); };
  if (text.size() != 7 || text[0] != '#') throw bad();
  float channel[3];
  for (int i = 0; i < 3; ++i) {
    const int high = digit(text[1 + 2 * i]), low = digit(text[2 + 2 * i]);
    if (high < 0 || low < 0) throw bad();
    channel[i] = static_cast<float>(high * 16 + low) / 255.0f;
  }
  return {channel[0], channel[1], channel[2]};
}

std::string to_hex(Rgb colour) {
  const auto byte = [](float value) { return static_cast<int>(std::lround(std::clamp(value, 0.0f, 1.0f) * 255.0f)); };
  char text[16];
  std::snprintf(text, sizeof text, "#%02X%02X%02X", byte(colour.r), byte(colour.g), byte(colour.b));
  return text;
}

Rgb mix(Rgb a, Rgb b, float amount) {
  return {a.r + (b.r - a.r) * amount, a.g + (b.g - a.g) * amount, a.b + (b.b - a.b) * amount};
}

double contrast_ratio(Rgb a, Rgb b) {
  const double first = luminance(a), second = luminance(b);
  return (std::max(first, second) + 0.05) / (std::min(first, second) + 0.05);
}

Rgb Theme::colour(std::string_view token) const {
  return look_up(colours, token);
}

double Theme::metric(std::string_view token) const {
  return look_up(metrics, token);
}

Rgb Theme::run(int index) const {
  static constexpr std::string_view kTokens[] = {"run_a", "run_b", "run_c", "run_d"};
  return colour(kTokens[std::clamp(index, 0, 3)]);
}

Theme parse_theme(std::string_view json, bool dark) {
  Theme theme;
  theme.dark = dark;
  try {
    const auto file = nlohmann::json::parse(json);
    for (const auto& [name, value] : file.at(dark ? "dark" : "light").items()) {
      theme.colours[name] = parse_rgb(value.get<std::string>());
    }
    for (const auto& [name, value] : file.at("metrics").items()) theme.metrics[name] = value.get<double>();
    for (const auto& [name, value] : file.at("type").items()) {
      if (value.is_number()) theme.type_sizes[name] = value.get<double>();
    }
    theme.words_family = file.at("type").at("words").get<std::string>();
    theme.numbers_family = file.at("type").at("numbers").get<std::string>();
  } catch (const nlohmann::json::exception& problem) {
    throw Error(ErrorKind::Corrupt, std::string("expected the theme tokens, got ") + problem.what());
  }
  return theme;
}

}  // namespace ditscope::views
