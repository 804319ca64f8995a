#pragma once
#include <cstddef>
#include <cstdint>
#include <string_view>

namespace ditscope {

struct CodePoint {
  std::uint32_t value = 0;
  std::size_t end = 0;  ///< byte behind it
};

/// The code point that begins at byte `at`; a broken byte becomes U+FFFD.
inline CodePoint next_code_point(std::string_view utf8, std::size_t at) {
  const auto lead = static_cast<unsigned char>(utf8[at]);
  if (lead < 0x80) return {lead, at + 1};
  const std::size_t more = lead >= 0xF0 && lead < 0xF5 ? 3 : lead >= 0xE0 && lead < 0xF0 ? 2 : lead >= 0xC2 && lead < 0xE0 ? 1 : 0;
  if (more == 0 || at + more >= utf8.size()) return {0xFFFD, at + 1};
  std::uint32_t value = lead & (0x3Fu >> more);
  for (std::size_t i = 1; i <= more; ++i) {
    const auto next = static_cast<unsigned char>(utf8[at + i]);
    if ((next & 0xC0) != 0x80) return {0xFFFD, at + 1};
    value = value << 6 | (next & 0x3Fu);
  }
  return {value, at + 1 + more};
}

}  // namespace ditscope
