#include "core/text/charsmap.h"

#include "core/checkpoint/json_file.h"
#include "core/text/unicode.h"
#include "kernels/error.h"

namespace ditscope {
namespace {

std::uint32_t u32_at(std::string_view bytes, std::size_t at) {
  std::uint32_t value = 0;
  for (int i = 3; i >= 0; --i) value = value << 8 | static_cast<unsigned char>(bytes[at + static_cast<std::size_t>(i)]);
  return value;
}

// One unit of a darts-clone double array.
constexpr std::uint32_t offset_of(std::uint32_t unit) {
  return (unit >> 10) << ((unit & 0x200u) >> 6);
}
constexpr std::uint32_t label_of(std::uint32_t unit) {
  return unit & 0x800000ffu;
}
constexpr bool has_leaf(std::uint32_t unit) {
  return (unit >> 8 & 1) == 1;
}
constexpr std::uint32_t value_of(std::uint32_t unit) {
  return unit & 0x7fffffffu;
}

void append(NormalizedText& out, std::string_view text, std::size_t begin, std::size_t end) {
  out.text.append(text);
  out.begin.resize(out.text.size(), static_cast<std::uint32_t>(begin));
  out.end.resize(out.text.size(), static_cast<std::uint32_t>(end));
}

}  // namespace

Charsmap::Charsmap(std::string_view bytes, const std::string& name) {
  if (bytes.empty()) return;
  const auto trie_bytes = bytes.size() < 4 ? 0 : u32_at(bytes, 0);
  if (trie_bytes == 0 || trie_bytes % 4 != 0 || trie_bytes > bytes.size() - 4) {
    throw Error(ErrorKind::Corrupt, name + ": its normalisation table does not hold together (" + std::to_string(bytes.size()) +
                                        " bytes, a trie of " + std::to_string(trie_bytes) + "); fetch the tokenizer again");
  }
  trie_.reserve(trie_bytes / 4);
  for (std::size_t at = 4; at < 4 + std::size_t{trie_bytes}; at += 4) trie_.push_back(u32_at(bytes, at));
  replacements_ = bytes.substr(4 + std::size_t{trie_bytes});
  if (!is_valid_utf8(replacements_)) {
    throw Error(ErrorKind::Corrupt,
                name + ": the replacements of its normalisation table are not UTF-8; fetch the tokenizer again");
  }
}

/// The replacement of the shortest beginning of `chunk` that has one: it then stands for the whole chunk.
bool Charsmap::replacement(std::string_view chunk, std::string_view& out) const {
  if (trie_.empty()) return false;
  std::size_t node = offset_of(trie_[0]);
  for (const char c : chunk) {
    const auto byte = static_cast<unsigned char>(c);
    node ^= byte;
    if (byte == 0 || node >= trie_.size() || label_of(trie_[node]) != byte) return false;
    const auto unit = trie_[node];
    node ^= offset_of(unit);
    if (!has_leaf(unit)) continue;
    if (node >= trie_.size()) return false;
    const std::size_t begin = value_of(trie_[node]);
    if (begin >= replacements_.size() || (static_cast<unsigned char>(replacements_[begin]) & 0xc0) == 0x80) return false;
    out = std::string_view(replacements_).substr(begin);
    out = out.substr(0, out.find('\0'));
    return true;
  }
  return false;
}

NormalizedText Charsmap::normalize(std::string_view text) const {
  if (text.size() >= UINT32_MAX) throw Error(ErrorKind::InvalidArgument, "the prompt is larger than 4 GiB; shorten it");
  NormalizedText out;
  out.text.reserve(text.size());
  std::string_view replaced;
  for (std::size_t at = 0; at < text.size();) {
    const auto end = grapheme_end(text, at);
    if (end - at < 6 && replacement(text.substr(at, end - at), replaced)) {
      append(out, replaced, at, end);
      at = end;
      continue;
    }
    while (at < end) {
      const auto part = text.substr(at, code_point_at(text, at).length_bytes);
      append(out, replacement(part, replaced) ? replaced : part, at, at + part.size());
      at += part.size();
    }
  }
  return out;
}

}  // namespace ditscope
