#pragma once
#include <string>
#include <vector>

#include "core/text/added_tokens.h"
#include "core/text/charsmap.h"
#include "core/text/tokenizer.h"
#include "core/text/unigram.h"
#include "core/text/vocabulary_files.h"

namespace ditscope {

/// T5's tokenizer: added tokens as typed, NFKC by the charsmap, words at white space, each with U+2581 before it, cut by a
/// unigram model. The same order and the same ties as transformers' T5Tokenizer on the tokenizers library.
class UnigramTokenizer : public Tokenizer {
 public:
  struct Names {
    std::string pad = "<pad>", eos = "</s>", unk = "<unk>";
  };
  /// Added tokens without a piece get the ids after the vocabulary. `name` is for messages.
  UnigramTokenizer(UnigramVocabulary vocabulary, const Names& names, std::int64_t unk_id, const std::string& name);

  std::vector<TextPiece> pieces(std::string_view text) const override;
  std::int64_t size() const override { return static_cast<std::int64_t>(texts_.size()); }
  std::int64_t pad_id() const override { return pad_id_; }
  std::int64_t eos_id() const override { return eos_id_; }
  std::int64_t unk_id() const override { return unk_id_; }
  std::string piece(std::int64_t id) const override;

 private:
  void cut_text(std::string_view text, std::size_t offset, std::vector<TextPiece>& out) const;
  void cut_word(const NormalizedText& normalized, std::size_t begin, std::size_t end, std::size_t offset,
                std::vector<TextPiece>& out) const;

  std::vector<std::string> texts_;
  Unigram model_;
  Charsmap charsmap_;
  AddedTokens as_typed_, normalized_;
  std::int64_t pad_id_ = 0, eos_id_ = 1, unk_id_ = 2;
};

}  // namespace ditscope
