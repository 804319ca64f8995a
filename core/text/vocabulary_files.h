#pragma once
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "core/text/added_tokens.h"

namespace ditscope {

/// What a unigram tokenizer is made of, from whichever file.
struct UnigramVocabulary {
  std::vector<std::pair<std::string, double>> pieces;  ///< (text, log-probability) by id
  std::string charsmap;                                ///< SentencePiece's precompiled normalisation; empty: none
  std::vector<AddedToken> added;                       ///< in the order in which they get ids where the vocabulary lacks them
};

/// spiece.model: a protobuf of SentencePiece, of which this reads pieces, normalisation and model type.
/// @throws Error{Corrupt} where the bytes do not hold together, Error{Unsupported} where it is no unigram model
UnigramVocabulary read_spiece_model(std::string_view bytes, const std::string& name);

/// tokenizer.json of the tokenizers library, with a Unigram model.
/// @throws as read_spiece_model
UnigramVocabulary read_tokenizer_json(std::string_view text, const std::string& name);

}  // namespace ditscope
