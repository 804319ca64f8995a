#include "core/text/unigram_tokenizer.h"

#include <algorithm>
#include <cstdlib>
#include <map>
#include <nlohmann/json.hpp>

#include "core/checkpoint/json_file.h"
#include "core/text/unicode.h"
#include "kernels/error.h"

namespace ditscope {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

constexpr std::string_view kWordMark = "\xe2\x96\x81";  // U+2581
constexpr std::int64_t kTransformersUnknown = 2;
constexpr std::size_t kMaxTokenizerBytes = std::size_t{128} << 20;

/// A token's text in tokenizer_config.json: plain, or an object with "content".
std::string token_text(const json& value) {
  if (value.is_string()) return value.get<std::string>();
  if (value.is_object() && value.contains("content") && value["content"].is_string()) return value["content"].get<std::string>();
  return {};
}

/// What tokenizer_config.json says beyond the vocabulary.
struct TokenizerConfig {
  UnigramTokenizer::Names names;
  int extra_ids = 100;
  std::vector<AddedToken> added;
};

AddedToken added_token(const json& value) {
  AddedToken token;
  token.content = token_text(value);
  if (value.is_object()) {
    token.single_word = value.value("single_word", json()) == true;
    token.lstrip = value.value("lstrip", json()) == true;
    token.rstrip = value.value("rstrip", json()) == true;
    token.normalized = value.value("normalized", json()) == true;
    token.special = value.value("special", json()) == true;
  }
  return token;
}

TokenizerConfig read_config(const fs::path& file) {
  TokenizerConfig config;
  if (!fs::exists(file)) return config;
  const auto document = load_json(file);
  if (!document.is_object())
    throw Error(ErrorKind::Corrupt, file.string() + ": expected a JSON object; fetch the tokenizer again");
  const auto type = document.value("tokenizer_class", json());
  if (type.is_string() && type != "T5Tokenizer" && type != "T5TokenizerFast" && type != "PreTrainedTokenizerFast" &&
      type != "TokenizersBackend") {
    throw Error(ErrorKind::Unsupported,
                file.string() + ": expected a T5Tokenizer, got " + type.dump().substr(0, 80) + "; choose another model");
  }
  for (auto [key, name] :
       {std::pair{"pad_token", &config.names.pad}, {"eos_token", &config.names.eos}, {"unk_token", &config.names.unk}}) {
    if (const auto text = token_text(document.value(key, json())); !text.empty()) *name = text;
  }
  if (const auto count = document.find("extra_ids"); count != document.end()) {
    if (!count->is_number_unsigned() || count->get<std::uint64_t>() > 100000) {
      throw Error(ErrorKind::Corrupt,
                  file.string() + ": expected extra_ids to be a number from 0 to 100000, got " + count->dump().substr(0, 40));
    }
    config.extra_ids = count->get<int>();
  }
  const auto by_id = document.value("added_tokens_decoder", json());
  std::map<long, AddedToken> ordered;
  if (by_id.is_object()) {
    for (const auto& [id, value] : by_id.items()) ordered[std::atol(id.c_str())] = added_token(value);
  }
  for (auto& [id, token] : ordered) config.added.push_back(std::move(token));
  for (const char* key : {"additional_special_tokens", "extra_special_tokens"}) {
    const auto list = document.value(key, json());
    if (!list.is_array()) continue;
    for (const auto& value : list) {
      config.added.push_back(added_token(value));
      config.added.back().special = true;
    }
  }
  return config;
}

std::string sentinel(int number) {
  return "<extra_id_" + std::to_string(number) + ">";
}

}  // namespace

UnigramTokenizer::UnigramTokenizer(UnigramVocabulary vocabulary, const Names& names, std::int64_t unk_id, const std::string& name)
    : model_(vocabulary.pieces, unk_id), charsmap_(vocabulary.charsmap, name), unk_id_(unk_id) {
  if (unk_id < 0 || unk_id >= static_cast<std::int64_t>(vocabulary.pieces.size())) {
    throw Error(ErrorKind::Corrupt, name + ": expected the id " + std::to_string(unk_id) +
                                        " for unknown text to be in the vocabulary of " +
                                        std::to_string(vocabulary.pieces.size()) + " pieces; fetch the tokenizer again");
  }
  for (auto& [text, score] : vocabulary.pieces) texts_.push_back(std::move(text));
  for (const auto& special : {names.pad, names.eos, names.unk}) {
    AddedToken token;
    token.content = special;
    vocabulary.added.push_back(std::move(token));
  }
  std::map<std::string, std::int64_t> seen;
  std::vector<AddedToken> typed, normalized;
  for (auto& token : vocabulary.added) {
    if (token.content.empty() || !is_valid_utf8(token.content) || seen.contains(token.content)) continue;
    token.id = model_.find(token.content);
    if (token.id < 0) {
      token.id = size();
      texts_.push_back(token.content);
    }
    seen[token.content] = token.id;
    if (token.normalized) {
      token.content = charsmap_.normalize(token.content).text;
      normalized.push_back(std::move(token));
    } else {
      typed.push_back(std::move(token));
    }
  }
  pad_id_ = seen.at(names.pad);
  eos_id_ = seen.at(names.eos);
  as_typed_ = AddedTokens(std::move(typed));
  normalized_ = AddedTokens(std::move(normalized));
}

std::string UnigramTokenizer::piece(std::int64_t id) const {
  return id >= 0 && id < size() ? texts_[static_cast<std::size_t>(id)] : std::string();
}

std::vector<TextPiece> UnigramTokenizer::pieces(std::string_view text) const {
  std::size_t bad = 0;
  if (!is_valid_utf8(text, &bad)) {
    throw Error(ErrorKind::InvalidArgument, "expected the prompt to be UTF-8 text, got an invalid byte at position " +
                                                std::to_string(bad) + "; save or paste it as UTF-8");
  }
  std::vector<TextPiece> out;
  for (const auto& segment : as_typed_.split(text)) {
    if (segment.token) {
      out.push_back({segment.token->id, segment.token->content, segment.begin, segment.end, segment.token->special});
    } else {
      cut_text(text.substr(segment.begin, segment.end - segment.begin), segment.begin, out);
    }
  }
  return out;
}

/// Text between added tokens: normalised, then cut at white space into words.
void UnigramTokenizer::cut_text(std::string_view text, std::size_t offset, std::vector<TextPiece>& out) const {
  const auto normalized = charsmap_.normalize(text);
  for (const auto& segment : normalized_.split(normalized.text)) {
    if (segment.token) {
      out.push_back({segment.token->id, segment.token->content, offset + normalized.begin[segment.begin],
                     offset + normalized.end[segment.end - 1], segment.token->special});
      continue;
    }
    auto word = segment.begin;
    for (auto at = segment.begin; at < segment.end;) {
      const auto character = code_point_at(normalized.text, at);
      if (is_white_space(character.value)) {
        if (at > word) cut_word(normalized, word, at, offset, out);
        word = at + character.length_bytes;
      }
      at += character.length_bytes;
    }
    if (segment.end > word) cut_word(normalized, word, segment.end, offset, out);
  }
}

/// A word with its mark before it; marks inside it begin words of their own.
void UnigramTokenizer::cut_word(const NormalizedText& normalized, std::size_t begin, std::size_t end, std::size_t offset,
                                std::vector<TextPiece>& out) const {
  const auto text = std::string_view(normalized.text).substr(begin, end - begin);
  const bool marked = text.starts_with(kWordMark);
  const std::string word = marked ? std::string(text) : std::string(kWordMark).append(text);
  const auto prepended = marked ? 0 : kWordMark.size();
  const auto origin = [&](std::size_t byte) { return begin + (byte < prepended ? 0 : byte - prepended); };
  std::vector<Unigram::Token> tokens;
  for (std::size_t from = 0; from < word.size();) {
    const auto to = std::min(word.find(kWordMark, from + kWordMark.size()), word.size());
    tokens.clear();
    model_.cut(std::string_view(word).substr(from, to - from), tokens);
    for (const auto& token : tokens) {
      TextPiece piece;
      piece.text = word.substr(from + token.begin, token.end - token.begin);
      piece.id = token.id;
      piece.begin = offset + normalized.begin[origin(from + token.begin)];
      const auto last = from + token.end - 1;
      piece.end = last < prepended ? piece.begin : offset + normalized.end[origin(last)];
      out.push_back(std::move(piece));
    }
    from = to;
  }
}

std::unique_ptr<Tokenizer> open_tokenizer(const fs::path& folder, const TokenizerOptions& options) {
  if (!fs::is_directory(folder)) {
    throw Error(ErrorKind::NotFound,
                "there is no tokenizer folder " + folder.string() + "; the model is incomplete: fetch it again");
  }
  auto config = read_config(folder / "tokenizer_config.json");
  auto file = folder / "tokenizer.json";
  UnigramVocabulary vocabulary;
  if (fs::exists(file)) {
    vocabulary = read_tokenizer_json(read_file(file, kMaxTokenizerBytes), file.string());
  } else {
    file = folder / "spiece.model";
    if (!fs::exists(file)) {
      throw Error(
          ErrorKind::NotFound,
          folder.string() + ": expected tokenizer.json or spiece.model, got neither; the download is incomplete: fetch it again");
    }
    vocabulary = read_spiece_model(read_file(file, kMaxTokenizerBytes), file.string());
    for (int i = config.extra_ids - 1; i >= 0; --i) vocabulary.pieces.emplace_back(sentinel(i), 0.0);
  }
  // The config's flags win over those of the vocabulary file.
  vocabulary.added.insert(vocabulary.added.begin(), config.added.begin(), config.added.end());
  for (int i = 0; i < config.extra_ids; ++i) {
    AddedToken token;
    token.content = sentinel(i);
    vocabulary.added.push_back(std::move(token));
  }
  return std::make_unique<UnigramTokenizer>(std::move(vocabulary), config.names, options.unk_id.value_or(kTransformersUnknown),
                                            file.string());
}

}  // namespace ditscope
