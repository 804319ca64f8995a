#pragma once
#include <filesystem>
#include <string>
#include <vector>

namespace ditscope {

/// A unigram vocabulary in T5's conventions: <pad> 0, </s> 1, <unk> 2, no <s>.
struct TokenizerTraining {
  int vocabulary_size = 1000;  ///< at most; fewer where the sentences do not have as many pieces
  int extra_ids = 0;           ///< sentinels <extra_id_N> after the vocabulary; 100 in T5 itself
  int model_max_length = 226;  ///< written to tokenizer_config.json
};

/// Trains on `sentences` and writes spiece.model, tokenizer_config.json and special_tokens_map.json into `folder` (made where it
/// is missing): a folder that transformers' T5Tokenizer and open_tokenizer() load to the same ids.
/// @return pieces in the vocabulary, sentinels included
/// @throws Error{InvalidArgument} where the sentences are too few, Error{Device} where the folder cannot be written
int train_tokenizer(const std::vector<std::string>& sentences, const std::filesystem::path& folder, const TokenizerTraining& training = {});

}  // namespace ditscope
