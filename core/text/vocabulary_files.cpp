#include "core/text/vocabulary_files.h"

#include <bit>
#include <cmath>
#include <nlohmann/json.hpp>

#include "core/checkpoint/json_file.h"
#include "kernels/error.h"

namespace ditscope {
namespace {

using nlohmann::json;

constexpr std::size_t kMaxPieces = 1 << 21;
constexpr std::size_t kMaxPieceBytes = 1 << 12;
constexpr std::size_t kMaxVocabularyBytes = 16 << 20;

[[noreturn]] void corrupt(const std::string& name, const std::string& what) {
  throw Error(ErrorKind::Corrupt, name + ": " + what + "; fetch the tokenizer again");
}

/// Fields of one protobuf message, in order.
class Message {
 public:
  Message(std::string_view bytes, const std::string& name) : bytes_(bytes), name_(name) {}

  /// Moves to the next field; false at the end. Then number(), and varint(), fixed32() or bytes() by its wire type.
  bool next() {
    if (at_ >= bytes_.size()) return false;
    const auto tag = read_varint();
    number_ = tag >> 3;
    wire_type_ = static_cast<int>(tag & 7);
    if (number_ == 0) corrupt(name_, "expected a SentencePiece model, got a field of number 0");
    switch (wire_type_) {
      case 0:
        value_ = read_varint();
        break;
      case 1:
        take(8);
        break;
      case 2:
        payload_ = take(read_varint());
        break;
      case 5:
        payload_ = take(4);
        break;
      default:
        corrupt(name_, "expected a SentencePiece model, got a field of wire type " + std::to_string(wire_type_));
    }
    return true;
  }
  bool is(std::uint64_t number, int wire_type) const {
    if (number_ != number) return false;
    if (wire_type_ != wire_type)
      corrupt(name_, "field " + std::to_string(number) + " has another type than SentencePiece gives it");
    return true;
  }
  std::uint64_t varint() const { return value_; }
  std::string_view bytes() const { return payload_; }
  float fixed32() const {
    std::uint32_t bits = 0;
    for (int i = 3; i >= 0; --i) bits = bits << 8 | static_cast<unsigned char>(payload_[static_cast<std::size_t>(i)]);
    return std::bit_cast<float>(bits);
  }

 private:
  std::uint64_t read_varint() {
    std::uint64_t value = 0;
    for (int shift = 0; shift < 64; shift += 7) {
      const auto byte = static_cast<unsigned char>(take(1)[0]);
      value |= static_cast<std::uint64_t>(byte & 0x7f) << shift;
      if (byte < 0x80) return value;
    }
    corrupt(name_, "expected a number of at most 10 bytes");
  }
  std::string_view take(std::uint64_t size) {
    if (size > bytes_.size() - at_) {
      corrupt(name_, "expected " + std::to_string(size) + " more bytes, got " + std::to_string(bytes_.size() - at_) +
                         " (truncated, or no SentencePiece model)");
    }
    const auto taken = bytes_.substr(at_, size);
    at_ += size;
    return taken;
  }

  std::string_view bytes_;
  const std::string& name_;
  std::size_t at_ = 0;
  std::uint64_t number_ = 0, value_ = 0;
  int wire_type_ = 0;
  std::string_view payload_;
};

/// Adds pieces within the limits that a vocabulary has.
class PieceList {
 public:
  PieceList(UnigramVocabulary& vocabulary, const std::string& name) : vocabulary_(vocabulary), name_(name) {}
  void add(std::string text, double score) {
    const auto id = vocabulary_.pieces.size();
    bytes_ += text.size();
    if (id >= kMaxPieces || bytes_ > kMaxVocabularyBytes) corrupt(name_, "its vocabulary is larger than any known one");
    if (text.empty() || text.size() > kMaxPieceBytes || !is_valid_utf8(text)) {
      corrupt(name_, "expected piece " + std::to_string(id) + " to be UTF-8 of 1 to 4096 bytes");
    }
    if (!std::isfinite(score)) corrupt(name_, "expected the score of piece " + std::to_string(id) + " to be a number");
    vocabulary_.pieces.emplace_back(std::move(text), score);
  }
  void check_size() const {
    if (vocabulary_.pieces.size() < 3) {
      corrupt(name_, "expected at least <pad>, </s> and <unk> as pieces, got " + std::to_string(vocabulary_.pieces.size()));
    }
  }

 private:
  UnigramVocabulary& vocabulary_;
  const std::string& name_;
  std::size_t bytes_ = 0;
};

void read_piece(std::string_view bytes, const std::string& name, UnigramVocabulary& vocabulary, PieceList& list) {
  constexpr std::uint64_t kControl = 3, kUserDefined = 4;
  std::string text;
  double score = 0;
  std::uint64_t type = 1;
  for (Message piece(bytes, name); piece.next();) {
    if (piece.is(1, 2)) text = piece.bytes();
    if (piece.is(2, 5)) score = piece.fixed32();
    if (piece.is(3, 0)) type = piece.varint();
  }
  if (type == kControl || type == kUserDefined) {
    AddedToken token;
    token.content = text;
    token.special = type == kControl;
    vocabulary.added.push_back(std::move(token));
  }
  list.add(std::move(text), score);
}

bool flag(const json& token, const char* key) {
  const auto found = token.find(key);
  return found != token.end() && found->is_boolean() && found->get<bool>();
}

std::string decode_base64(const std::string& text, const std::string& name) {
  std::string out;
  std::uint32_t bits = 0;
  int have = 0;
  for (const char c : text) {
    int value = -1;
    if (c >= 'A' && c <= 'Z') value = c - 'A';
    if (c >= 'a' && c <= 'z') value = c - 'a' + 26;
    if (c >= '0' && c <= '9') value = c - '0' + 52;
    if (c == '+') value = 62;
    if (c == '/') value = 63;
    if (c == '=') break;
    if (value < 0) corrupt(name, "expected base64 as precompiled_charsmap");
    bits = bits << 6 | static_cast<std::uint32_t>(value);
    have += 6;
    if (have >= 8) {
      have -= 8;
      out += static_cast<char>(bits >> have & 0xff);
    }
  }
  return out;
}

/// The first Precompiled normaliser: the only one that T5's tokenizer keeps of the file.
std::string charsmap_of(const json& document, const std::string& name) {
  const auto found = document.find("normalizer");
  if (found == document.end() || !found->is_object()) return {};
  json::array_t list;
  if (const auto inner = found->find("normalizers"); inner != found->end() && inner->is_array()) {
    list = inner->get_ref<const json::array_t&>();
  } else {
    list.push_back(*found);
  }
  for (const auto& normalizer : list) {
    if (!normalizer.is_object() || normalizer.value("type", json()) != "Precompiled") continue;
    const auto map = normalizer.find("precompiled_charsmap");
    if (map == normalizer.end() || map->is_null()) continue;
    if (!map->is_string()) corrupt(name, "expected base64 text as precompiled_charsmap");
    return decode_base64(map->get_ref<const std::string&>(), name);
  }
  return {};
}

}  // namespace

UnigramVocabulary read_spiece_model(std::string_view bytes, const std::string& name) {
  if (is_git_lfs_pointer(bytes)) corrupt(name, "this is a git-lfs pointer, not the file itself (run `git lfs pull`)");
  constexpr std::uint64_t kUnigram = 1;
  UnigramVocabulary vocabulary;
  PieceList list(vocabulary, name);
  std::uint64_t type = kUnigram;
  for (Message model(bytes, name); model.next();) {
    if (model.is(1, 2)) read_piece(model.bytes(), name, vocabulary, list);
    if (model.is(2, 2)) {
      for (Message trainer(model.bytes(), name); trainer.next();) {
        if (trainer.is(3, 0)) type = trainer.varint();
      }
    }
    if (model.is(3, 2)) {
      for (Message normalizer(model.bytes(), name); normalizer.next();) {
        if (normalizer.is(2, 2)) vocabulary.charsmap = normalizer.bytes();
      }
    }
  }
  if (type != kUnigram) {
    throw Error(ErrorKind::Unsupported, name + ": expected a unigram SentencePiece model as T5 uses, got model type " +
                                            std::to_string(type) + (type == 2 ? " (BPE)" : "") + "; choose another text encoder");
  }
  list.check_size();
  return vocabulary;
}

UnigramVocabulary read_tokenizer_json(std::string_view text, const std::string& name) {
  const auto document = parse_json(text, name);
  const auto model = document.is_object() ? document.value("model", json()) : json();
  if (!model.is_object()) corrupt(name, "expected a tokenizer with a \"model\"");
  if (const auto type = model.value("type", json("Unigram")); type != "Unigram") {
    throw Error(ErrorKind::Unsupported, name + ": expected a Unigram tokenizer as T5 uses, got " + type.dump().substr(0, 40) +
                                            "; choose another text encoder");
  }
  const auto pieces = model.value("vocab", json());
  if (!pieces.is_array()) corrupt(name, "expected a list of [piece, score] as the model's vocab");
  UnigramVocabulary vocabulary;
  PieceList list(vocabulary, name);
  for (const auto& piece : pieces) {
    if (!piece.is_array() || piece.size() != 2 || !piece[0].is_string() || !piece[1].is_number()) {
      corrupt(name, "expected [piece, score] in the vocab, got " +
                        piece.dump(-1, ' ', false, json::error_handler_t::replace).substr(0, 80));
    }
    list.add(piece[0].get<std::string>(), piece[1].get<double>());
  }
  list.check_size();
  vocabulary.charsmap = charsmap_of(document, name);
  const auto added = document.value("added_tokens", json::array());
  if (!added.is_array() && !added.is_null()) corrupt(name, "expected a list as added_tokens");
  for (const auto& item : added) {
    if (!item.is_object() || !item.contains("content") || !item["content"].is_string())
      corrupt(name, "expected \"content\" in every added token");
    AddedToken token;
    token.content = item["content"].get<std::string>();
    token.single_word = flag(item, "single_word");
    token.lstrip = flag(item, "lstrip");
    token.rstrip = flag(item, "rstrip");
    token.normalized = flag(item, "normalized");
    token.special = flag(item, "special");
    if (token.content.size() > kMaxPieceBytes) corrupt(name, "an added token is longer than 4096 bytes");
    vocabulary.added.push_back(std::move(token));
  }
  return vocabulary;
}

}  // namespace ditscope
