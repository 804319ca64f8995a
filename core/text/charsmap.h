#pragma once
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace ditscope {

/// Text after normalisation, and for each of its bytes the bytes of the origin that made it.
struct NormalizedText {
  std::string text;
  std::vector<std::uint32_t> begin, end;  ///< per byte of `text`: origin bytes, end exclusive
};

/// SentencePiece's precompiled normalisation (NFKC with its own rules for spaces): a double-array trie from character sequences
/// to replacements, applied as the tokenizers library does, grapheme by grapheme.
///
/// Layout: u32 bytes of the trie, the trie's u32 units, then the replacements, each ended by a zero byte.
class Charsmap {
 public:
  /// Changes nothing.
  Charsmap() = default;
  /// @throws Error{Corrupt} naming `name` where the parts do not fit
  Charsmap(std::string_view bytes, const std::string& name);

  /// @param text valid UTF-8 @throws Error{InvalidArgument} for 4 GiB or more
  NormalizedText normalize(std::string_view text) const;

 private:
  bool replacement(std::string_view chunk, std::string_view& out) const;

  std::vector<std::uint32_t> trie_;
  std::string replacements_;
};

}  // namespace ditscope
