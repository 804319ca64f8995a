#pragma once
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/text/token_ids.h"

namespace ditscope {

/// A token and the bytes of the prompt it stands for: what a view needs to show words.
struct TextPiece {
  std::int64_t id = 0;
  std::string text;                ///< the vocabulary's piece, its word mark shown as U+2581; the text itself where unknown
  std::size_t begin = 0, end = 0;  ///< bytes of the prompt, end exclusive
  bool special = false;            ///< </s>, <pad>, <extra_id_0> ... written out in the prompt
};

/// Text to token ids. Thread-safe: encoding changes nothing.
class Tokenizer {
 public:
  virtual ~Tokenizer() = default;

  /// The tokens of a prompt in order, without the closing </s>, never truncated.
  /// @throws Error{InvalidArgument} where the text is not UTF-8, with the position of the first bad byte
  virtual std::vector<TextPiece> pieces(std::string_view text) const = 0;

  /// Ids with </s> appended, padded to `max_length`; a longer prompt loses its end but keeps </s>.
  /// @throws Error{InvalidArgument} as pieces(), or for a max_length below 1
  TokenIds encode(std::string_view text, int max_length) const;
  /// Tokens of a prompt with its </s>: what `max_length` must hold for nothing to be lost.
  int count(std::string_view text) const { return static_cast<int>(pieces(text).size()) + 1; }

  /// Ids run from 0 to size() - 1.
  virtual std::int64_t size() const = 0;
  virtual std::int64_t pad_id() const = 0;
  virtual std::int64_t eos_id() const = 0;
  virtual std::int64_t unk_id() const = 0;
  /// The piece of an id, empty outside the vocabulary.
  virtual std::string piece(std::int64_t id) const = 0;
};

/// Choices where libraries disagree.
struct TokenizerOptions {
  /// Id for text outside the vocabulary. transformers' T5Tokenizer gives 2 whatever the file says; empty: 2.
  std::optional<std::int64_t> unk_id;
};

/// Opens a T5 tokenizer folder: tokenizer.json where there is one, else spiece.model; with tokenizer_config.json where there is
/// one. Gives the ids that transformers' T5Tokenizer gives for the same folder.
/// @throws Error{NotFound}, Error{Corrupt}, Error{Unsupported} (another kind of tokenizer)
std::unique_ptr<Tokenizer> open_tokenizer(const std::filesystem::path& folder, const TokenizerOptions& options = {});

}  // namespace ditscope
