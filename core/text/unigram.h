#pragma once
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "core/text/prefix_trie.h"

namespace ditscope {

/// The unigram language model: cuts a word into the pieces of the highest summed log-probability.
/// @see Kudo 2018, arXiv:1804.10959
class Unigram {
 public:
  struct Token {
    std::int64_t id;
    std::size_t begin, end;  ///< bytes of the word
  };

  Unigram() = default;
  /// @param pieces (text, log-probability) by id
  Unigram(const std::vector<std::pair<std::string, double>>& pieces, std::int64_t unk_id);

  /// Appends the tokens of `word` (valid UTF-8). Characters outside the vocabulary cost the lowest score - 10 each; neighbours of
  /// that kind become one unknown token.
  void cut(std::string_view word, std::vector<Token>& out) const;

  /// The id of exactly `piece`, or -1.
  std::int64_t find(std::string_view piece) const { return trie_.find(piece); }

 private:
  PrefixTrie trie_;
  std::vector<double> scores_;
  double unknown_score_ = 0;
  std::int64_t unk_id_ = 2;
};

}  // namespace ditscope
