#pragma once
#include <cstddef>
#include <cstdint>
#include <string_view>

namespace ditscope {

/// One code point of valid UTF-8 and the bytes it takes.
struct CodePoint {
  std::uint32_t value = 0;
  std::size_t length_bytes = 0;
};
CodePoint code_point_at(std::string_view valid_utf8, std::size_t position);

/// White_Space of Unicode.
bool is_white_space(std::uint32_t code_point);

/// End of the extended grapheme cluster that begins at `begin` (UAX 29, rules GB3 to GB9b; emoji sequences and Indic conjuncts
/// are cut into their parts, which no normaliser here tells from the whole).
std::size_t grapheme_end(std::string_view valid_utf8, std::size_t begin);

}  // namespace ditscope
