#pragma once
#include <cstddef>
#include <filesystem>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>

namespace ditscope {

/// What a JSON file may be at most. Files come from strangers: size and depth are limited before they cost anything.
struct JsonLimits {
  std::size_t max_bytes = std::size_t{64} << 20;
  int max_depth = 64;
};

/// The whole file as bytes.
/// @throws Error{NotFound} where it is missing or unreadable, Error{Corrupt} where it is larger than `max_bytes`
std::string read_file(const std::filesystem::path& path, std::size_t max_bytes = JsonLimits{}.max_bytes);

/// Parses UTF-8 JSON. `name` is the file (or other origin) that messages name.
/// @throws Error{Corrupt} with name, line and column: no JSON, invalid UTF-8, a key twice in one object, too deep, too large
nlohmann::json parse_json(std::string_view text, const std::string& name, const JsonLimits& limits = {});

/// read_file and parse_json; a git-lfs pointer in place of the file is recognised and named.
nlohmann::json load_json(const std::filesystem::path& path, const JsonLimits& limits = {});

/// True for the small text file that git leaves where git-lfs has not fetched the real one.
bool is_git_lfs_pointer(std::string_view first_bytes);

/// True where `text` is well-formed UTF-8 (no overlong forms, surrogates or values above U+10FFFF); else `position` is the
/// first offending byte.
bool is_valid_utf8(std::string_view text, std::size_t* position = nullptr);

}  // namespace ditscope
