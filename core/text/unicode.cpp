#include "core/text/unicode.h"

#include <algorithm>
#include <iterator>

#include "core/text/grapheme_table.h"

namespace ditscope {
namespace {

GraphemeClass grapheme_class(std::uint32_t c) {
  using Class = GraphemeClass;
  if (c == '\r') return Class::CarriageReturn;
  if (c == '\n') return Class::LineFeed;
  if (c >= 0x20 && c < 0x7f) return Class::Other;
  if ((c >= 0x1100 && c < 0x1160) || (c >= 0xa960 && c < 0xa97d)) return Class::L;
  if ((c >= 0x1160 && c < 0x11a8) || (c >= 0xd7b0 && c < 0xd7c7)) return Class::V;
  if ((c >= 0x11a8 && c < 0x1200) || (c >= 0xd7cb && c < 0xd7fc)) return Class::T;
  if (c >= 0xac00 && c < 0xd7a4) return (c - 0xac00) % 28 == 0 ? Class::LV : Class::LVT;
  const auto* found = std::upper_bound(std::begin(grapheme_names::kRanges), std::end(grapheme_names::kRanges), c,
                                       [](std::uint32_t value, const GraphemeRange& range) { return value < range.first; });
  if (found == std::begin(grapheme_names::kRanges)) return Class::Other;
  --found;
  return c <= found->last ? found->is : Class::Other;
}

bool breaks_between(GraphemeClass a, GraphemeClass b) {
  using Class = GraphemeClass;
  const auto ends_line = [](Class c) { return c == Class::Control || c == Class::CarriageReturn || c == Class::LineFeed; };
  if (a == Class::CarriageReturn && b == Class::LineFeed) return false;                                      // GB3
  if (ends_line(a) || ends_line(b)) return true;                                                             // GB4, GB5
  if (a == Class::L && (b == Class::L || b == Class::V || b == Class::LV || b == Class::LVT)) return false;  // GB6
  if ((a == Class::LV || a == Class::V) && (b == Class::V || b == Class::T)) return false;                   // GB7
  if ((a == Class::LVT || a == Class::T) && b == Class::T) return false;                                     // GB8
  return b != Class::Extend && b != Class::SpacingMark && a != Class::Prepend;                               // GB9, 9a, 9b
}

}  // namespace

CodePoint code_point_at(std::string_view text, std::size_t position) {
  const auto byte = [&](std::size_t at) { return static_cast<std::uint32_t>(static_cast<unsigned char>(text[at])); };
  const auto lead = byte(position);
  const std::size_t length = lead < 0x80 ? 1 : lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : 4;
  auto value = length == 1 ? lead : lead & (0x7fu >> length);
  for (std::size_t k = 1; k < length; ++k) value = value << 6 | (byte(position + k) & 0x3f);
  return {value, length};
}

bool is_white_space(std::uint32_t c) {
  return (c >= 9 && c <= 13) || c == ' ' || c == 0x85 || c == 0xa0 || c == 0x1680 || (c >= 0x2000 && c <= 0x200a) ||
         c == 0x2028 || c == 0x2029 || c == 0x202f || c == 0x205f || c == 0x3000;
}

std::size_t grapheme_end(std::string_view text, std::size_t begin) {
  auto here = code_point_at(text, begin);
  auto at = begin + here.length_bytes;
  auto before = grapheme_class(here.value);
  while (at < text.size()) {
    here = code_point_at(text, at);
    const auto after = grapheme_class(here.value);
    if (breaks_between(before, after)) return at;
    before = after;
    at += here.length_bytes;
  }
  return at;
}

}  // namespace ditscope
