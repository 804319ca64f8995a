// What must not leave the house with a capture: prompts, paths, names of people and machines.
#include <algorithm>
#include <cctype>
#include <nlohmann/json.hpp>
#include <set>

#include "core/capture/capture_copy.h"

namespace ditscope {
namespace {

using Json = nlohmann::json;

constexpr std::string_view kEndsOfPaths = " \t\n\"'<>|,;()[]{}";

bool starts_path(const std::string& text, std::size_t at) {
  const auto is = [&](std::size_t i, auto&& kind) { return i < text.size() && kind(static_cast<unsigned char>(text[i])); };
  const auto letter = [](unsigned char c) { return std::isalpha(c) != 0; };
  const auto named = [](unsigned char c) { return std::isalnum(c) != 0 || c == '.' || c == '_' || c == '-' || c >= 0x80; };
  if (at > 0 && named(static_cast<unsigned char>(text[at - 1]))) return false;  // the middle of a word, as in a/b
  const bool rooted = text[at] == '/' && (at == 0 || text[at - 1] != '/') && is(at + 1, named);
  const bool home = text[at] == '~' && is(at + 1, [](unsigned char c) { return c == '/'; });
  const bool drive = letter(static_cast<unsigned char>(text[at])) && is(at + 1, [](unsigned char c) { return c == ':'; }) &&
                     is(at + 2, [](unsigned char c) { return c == '\\' || c == '/'; });
  const bool server = text[at] == '\\' && is(at + 1, [](unsigned char c) { return c == '\\'; });
  return rooted || home || drive || server;
}

void redact(Json& json) {
  static const std::set<std::string> kNames{"prompt", "negative_prompt", "user", "username", "host", "hostname", "home", "cwd"};
  if (json.is_object()) {
    for (auto& [key, value] : json.items()) {
      if (kNames.contains(key) && value.is_string()) {
        value = "";
      } else {
        redact(value);
      }
    }
  } else if (json.is_array()) {
    for (Json& value : json) redact(value);
  } else if (json.is_string()) {
    const auto& text = json.get_ref<const std::string&>();
    if (!text.empty() && starts_path(text, 0)) {
      json = "";  // whole: names of folders may have spaces
    } else {
      json = without_paths(text);
    }
  }
}

int depth_of(const std::string& text) {
  int depth = 0, most = 0;
  for (const char c : text) {
    depth += c == '[' || c == '{' ? 1 : c == ']' || c == '}' ? -1 : 0;
    most = std::max(most, depth);
  }
  return most;
}

}  // namespace

std::string without_paths(const std::string& text) {
  std::string kept;
  for (std::size_t at = 0; at < text.size();) {
    if (!starts_path(text, at)) {
      kept += text[at++];
      continue;
    }
    kept += "(path)";
    while (at < text.size() && kEndsOfPaths.find(text[at]) == std::string_view::npos) ++at;
  }
  return kept;
}

std::string redacted_json(const std::string& text) {
  constexpr int kDeepest = 64;
  Json json = depth_of(text) > kDeepest ? Json(Json::value_t::discarded) : Json::parse(text, nullptr, false);
  if (json.is_discarded()) return without_paths(text);
  redact(json);
  return json.dump(-1, ' ', false, Json::error_handler_t::replace);
}

}  // namespace ditscope
