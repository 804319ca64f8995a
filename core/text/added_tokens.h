#pragma once
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "core/text/prefix_trie.h"

namespace ditscope {

/// A token that is matched as it is written, before the vocabulary sees the text.
struct AddedToken {
  std::string content;
  std::int64_t id = -1;
  bool single_word = false;  ///< only between characters that are no word's
  bool lstrip = false;       ///< takes the white space before it
  bool rstrip = false;       ///< and after it
  bool normalized = false;   ///< matched in normalised text, otherwise in the prompt as typed
  bool special = true;
};

/// Cuts text at added tokens: leftmost match first, the longest of those.
class AddedTokens {
 public:
  struct Segment {
    std::size_t begin, end;
    const AddedToken* token;  ///< null for text between tokens
  };

  AddedTokens() = default;
  explicit AddedTokens(std::vector<AddedToken> tokens);
  AddedTokens(const AddedTokens&) = delete;
  AddedTokens& operator=(const AddedTokens&) = delete;
  AddedTokens(AddedTokens&&) = default;
  AddedTokens& operator=(AddedTokens&&) = default;

  /// Segments in order, without empty text. They point into this object. @param text valid UTF-8
  std::vector<Segment> split(std::string_view text) const;

 private:
  std::vector<AddedToken> tokens_;
  PrefixTrie trie_;
};

}  // namespace ditscope
