#include "core/text/tokenizer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sentencepiece_processor.h>

#include <bit>
#include <fstream>
#include <nlohmann/json.hpp>

#include "core/checkpoint/json_file.h"
#include "core/text/unicode.h"
#include "core/text/unigram_tokenizer.h"
#include "kernels/error.h"
#include "tests/fuzz/mutate.h"
#include "tests/support/temporary_folder.h"

namespace ditscope {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;
using ::testing::HasSubstr;

const fs::path kGolden = fs::path(DITSCOPE_SOURCE_DIR) / "tests/golden";

const json& goldens() {
  static const json document = load_json(kGolden / "text_token_goldens.json");
  return document;
}

std::vector<std::int64_t> ids_of(const Tokenizer& tokenizer, const std::string& text) {
  std::vector<std::int64_t> ids;
  for (const auto& piece : tokenizer.pieces(text)) ids.push_back(piece.id);
  return ids;
}

/// A tokenizer of a few pieces, as spiece.model has them.
UnigramVocabulary small_vocabulary() {
  UnigramVocabulary vocabulary;
  for (const char* piece : {"<pad>", "</s>", "<unk>", "▁", "▁a", "▁red", "▁ball", "b", "a", "l"}) {
    vocabulary.pieces.emplace_back(piece, -static_cast<double>(vocabulary.pieces.size()));
  }
  return vocabulary;
}

class TokenGoldens : public ::testing::TestWithParam<const char*> {};

TEST_P(TokenGoldens, IdsAreThoseOfTransformers) {
  const auto tokenizer = open_tokenizer(kGolden / GetParam());
  const auto& golden = goldens()["tokenizers"][GetParam()];
  ASSERT_EQ(golden["ids"].size(), goldens()["prompts"].size());
  for (std::size_t i = 0; i < golden["ids"].size(); ++i) {
    const auto prompt = goldens()["prompts"][i].get<std::string>();
    auto ids = ids_of(*tokenizer, prompt);
    ids.push_back(tokenizer->eos_id());
    EXPECT_EQ(ids, golden["ids"][i].get<std::vector<std::int64_t>>()) << prompt;
    EXPECT_EQ(tokenizer->count(prompt), static_cast<int>(ids.size()));
  }
}

TEST_P(TokenGoldens, PaddingTruncationAndMaskAreThoseOfTransformers) {
  const auto tokenizer = open_tokenizer(kGolden / GetParam());
  const auto& golden = goldens()["tokenizers"][GetParam()];
  const int length = goldens()["max_length"];
  for (std::size_t i = 0; i < golden["ids"].size(); ++i) {
    const auto prompt = goldens()["prompts"][i].get<std::string>();
    const auto out = tokenizer->encode(prompt, length);
    EXPECT_EQ(out.ids, golden["padded"][i].get<std::vector<std::int64_t>>()) << prompt;
    EXPECT_EQ(out.mask, golden["mask"][i].get<std::vector<std::int64_t>>()) << prompt;
    EXPECT_EQ(out.truncated, golden["ids"][i].size() > static_cast<std::size_t>(length));
    EXPECT_EQ(out.used, std::min<int>(length, static_cast<int>(golden["ids"][i].size())));
  }
}

TEST_P(TokenGoldens, PiecesSpanTheirBytesOfThePromptInOrder) {
  const auto tokenizer = open_tokenizer(kGolden / GetParam());
  for (const auto& item : goldens()["prompts"]) {
    const auto prompt = item.get<std::string>();
    std::size_t before = 0;
    for (const auto& piece : tokenizer->pieces(prompt)) {
      EXPECT_LE(piece.begin, piece.end);
      EXPECT_LE(piece.end, prompt.size());
      EXPECT_GE(piece.begin, before) << prompt << " at " << piece.text;
      EXPECT_TRUE(is_valid_utf8(prompt.substr(piece.begin, piece.end - piece.begin)));
      before = piece.begin;
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Folders, TokenGoldens,
                         ::testing::Values("text_tokenizer_spiece", "text_tokenizer_json", "text_tokenizer_plain"),
                         [](const auto& info) { return std::string(info.param).substr(15); });

TEST(Tokenizer, PlainTextGivesTheIdsOfSentencePieceItself) {
  const auto tokenizer = open_tokenizer(kGolden / "text_tokenizer_spiece");
  sentencepiece::SentencePieceProcessor oracle;
  ASSERT_TRUE(oracle.Load((kGolden / "text_tokenizer_spiece/spiece.model").string()).ok());
  for (const std::string prompt :
       {"a red ball moves left", "A Red Ball?", "two  shiny cubes", "café straße 123", "ｆｕｌｌ ﬁne", "日本 ball"}) {
    std::vector<int> expected;
    ASSERT_TRUE(oracle.Encode(prompt, &expected).ok());
    EXPECT_EQ(ids_of(*tokenizer, prompt), std::vector<std::int64_t>(expected.begin(), expected.end())) << prompt;
  }
}

TEST(Tokenizer, PiecesShowTheWordsTheyStandFor) {
  const auto tokenizer = open_tokenizer(kGolden / "text_tokenizer_spiece");
  const std::string prompt = "a  red</s> ﬁ日本";
  std::string shown;
  for (const auto& piece : tokenizer->pieces(prompt)) {
    shown += piece.text + "=" + prompt.substr(piece.begin, piece.end - piece.begin) + (piece.special ? "!" : "") + "|";
  }
  EXPECT_EQ(shown, "▁a=a|▁red=red|</s>=</s>!|▁=|f=ﬁ|i=ﬁ|日本=日本|");
}

TEST(Tokenizer, TruncationKeepsTheEndMark) {
  const UnigramTokenizer tokenizer(small_vocabulary(), {}, 2, "test");
  const auto out = tokenizer.encode("a red ball", 3);
  EXPECT_EQ(out.ids, (std::vector<std::int64_t>{4, 5, 1}));
  EXPECT_TRUE(out.truncated);
  EXPECT_EQ(tokenizer.encode("a red ball", 1).ids, (std::vector<std::int64_t>{1}));
  EXPECT_FALSE(tokenizer.encode("a red ball", 4).truncated);
  EXPECT_THROW(tokenizer.encode("a", 0), Error);
}

TEST(Tokenizer, EmptyPromptsAreTheEndMarkAlone) {
  const UnigramTokenizer tokenizer(small_vocabulary(), {}, 2, "test");
  for (const char* prompt : {"", "   ", "\n\t\xe3\x80\x80"}) {
    const auto out = tokenizer.encode(prompt, 4);
    EXPECT_EQ(out.ids, (std::vector<std::int64_t>{1, 0, 0, 0}));
    EXPECT_EQ(out.mask, (std::vector<std::int64_t>{1, 0, 0, 0}));
  }
}

TEST(Tokenizer, InvalidUtf8IsRefusedWithItsPosition) {
  const UnigramTokenizer tokenizer(small_vocabulary(), {}, 2, "test");
  for (const char* bad : {"\xff", "\xc3", "\xc0\xaf", "\xed\xa0\x80", "\xf4\x90\x80\x80"}) {
    try {
      tokenizer.encode("a red " + std::string(bad), 16);
      FAIL() << "accepted invalid text";
    } catch (const Error& error) {
      EXPECT_EQ(error.kind(), ErrorKind::InvalidArgument);
      EXPECT_THAT(error.what(), HasSubstr("position 6"));
    }
  }
}

TEST(Tokenizer, HugePromptsTakeLinearTime) {
  const UnigramTokenizer tokenizer(small_vocabulary(), {}, 2, "test");
  std::string words, word = "b";
  for (int i = 0; i < 200000; ++i) words += " a red ball";
  word.append(2000000, 'a');  // one word without white space
  EXPECT_EQ(tokenizer.count(words), 600001);
  EXPECT_EQ(tokenizer.encode(words, 226).used, 226);
  EXPECT_EQ(tokenizer.count(word), 2000003);
}

TEST(Tokenizer, TheUnknownIdIsThatOfTransformersUnlessAskedOtherwise) {
  EXPECT_EQ(open_tokenizer(kGolden / "text_tokenizer_spiece")->unk_id(), 2);
  TokenizerOptions options;
  options.unk_id = 3;
  const auto tokenizer = open_tokenizer(kGolden / "text_tokenizer_spiece", options);
  EXPECT_THAT(ids_of(*tokenizer, "日"), ::testing::Contains(3));
}

TEST(Tokenizer, MissingAndForeignFoldersAreRefused) {
  const test::TemporaryFolder folder;
  const auto error_of = [](const fs::path& path) {
    try {
      open_tokenizer(path);
    } catch (const Error& error) {
      return error;
    }
    return Error(ErrorKind::Cancelled, "");
  };
  EXPECT_EQ(error_of(folder / "none").kind(), ErrorKind::NotFound);
  EXPECT_EQ(error_of(folder.path()).kind(), ErrorKind::NotFound);
  std::ofstream(folder / "tokenizer.json") << R"({"model":{"type":"BPE","vocab":{},"merges":[]}})";
  EXPECT_EQ(error_of(folder.path()).kind(), ErrorKind::Unsupported);
  std::ofstream(folder / "tokenizer.json") << "{";
  EXPECT_EQ(error_of(folder.path()).kind(), ErrorKind::Corrupt);
  std::ofstream(folder / "tokenizer_config.json") << R"({"tokenizer_class":"LlamaTokenizer"})";
  EXPECT_THAT(error_of(folder.path()).what(), HasSubstr("LlamaTokenizer"));
}

TEST(Grapheme, ClustersEndWhereUnicodeEndsThem) {
  const auto lengths = [](std::string_view text) {
    std::vector<std::size_t> out;
    for (std::size_t at = 0; at < text.size();) {
      const auto end = grapheme_end(text, at);
      out.push_back(end - at);
      at = end;
    }
    return out;
  };
  using Lengths = std::vector<std::size_t>;
  EXPECT_EQ(lengths("ab"), (Lengths{1, 1}));
  EXPECT_EQ(lengths("e\u0301x"), (Lengths{3, 1}));
  EXPECT_EQ(lengths("\r\n\n"), (Lengths{2, 1}));
  EXPECT_EQ(lengths("\u1100\u1161\u11a8a"), (Lengths{9, 1}));
  EXPECT_EQ(lengths("\u0600a"), (Lengths{3}));
  EXPECT_EQ(lengths("\u0915\u093e"), (Lengths{6}));
  EXPECT_EQ(lengths("a\u200b\u0301"), (Lengths{1, 3, 2}));
}

// --- hostile vocabularies

std::string varint(std::uint64_t value) {
  std::string out;
  for (; value >= 0x80; value >>= 7) out += static_cast<char>(value | 0x80);
  return out + static_cast<char>(value);
}
std::string field(int number, const std::string& bytes) {
  return varint(static_cast<std::uint64_t>(number) << 3 | 2) + varint(bytes.size()) + bytes;
}
std::string number_field(int number, std::uint64_t value) {
  return varint(static_cast<std::uint64_t>(number) << 3) + varint(value);
}
std::string piece_bytes(const std::string& text, float score, int type = 1) {
  const auto bits = std::bit_cast<std::uint32_t>(score);
  std::string out = field(1, text) + varint(2 << 3 | 5);
  for (int i = 0; i < 4; ++i) out += static_cast<char>(bits >> (8 * i));
  return field(1, out + number_field(3, static_cast<std::uint64_t>(type)));
}
std::string small_spiece(int model_type = 1) {
  std::string out;
  for (const char* control : {"<pad>", "</s>"}) out += piece_bytes(control, 0, 3);
  out += piece_bytes("<unk>", 0, 2) + piece_bytes("▁a", -1.5f) + piece_bytes("▁", -2) + piece_bytes("b", -3) +
         piece_bytes("[x]", 0, 4);
  // A trie of one unit chain would do; this one is the start of a real table, cut short.
  const auto real = read_file(kGolden / "text_tokenizer_spiece/spiece.model");
  const auto charsmap = read_spiece_model(real, "real").charsmap;
  std::string small = std::string("\0\x10\0\0", 4) + charsmap.substr(4, 4096) + std::string("a\0 \0é\0", 7);
  return out + field(2, number_field(3, static_cast<std::uint64_t>(model_type))) +
         field(3, field(1, "nmt_nfkc") + field(2, small));
}

void use(UnigramVocabulary vocabulary) {
  const UnigramTokenizer tokenizer(std::move(vocabulary), {}, 2, "fuzz");
  tokenizer.encode("a b\u0301 é </s>[x] ab\u3000ﬁ ба 😀 ▁a", 16);
}

TEST(HostileVocabulary, TheSmallSpieceModelItselfIsFine) {
  const auto vocabulary = read_spiece_model(small_spiece(), "test");
  EXPECT_EQ(vocabulary.pieces.size(), 7u);
  EXPECT_EQ(vocabulary.added.size(), 3u);
  EXPECT_NO_THROW(use(vocabulary));
}

TEST(HostileVocabulary, SpieceModelsThatDoNotHoldTogetherAreRefused) {
  const auto kind_of = [](const std::string& bytes) {
    try {
      use(read_spiece_model(bytes, "spiece.model"));
    } catch (const Error& error) {
      EXPECT_THAT(error.what(), HasSubstr("spiece.model"));
      return error.kind();
    }
    return ErrorKind::Cancelled;
  };
  EXPECT_EQ(kind_of(""), ErrorKind::Corrupt);
  EXPECT_EQ(kind_of("version https://git-lfs.github.com/spec/v1\n"), ErrorKind::Corrupt);
  EXPECT_EQ(kind_of(small_spiece().substr(0, 100)), ErrorKind::Corrupt);
  EXPECT_EQ(kind_of(small_spiece(2)), ErrorKind::Unsupported);
  EXPECT_EQ(kind_of(small_spiece() + piece_bytes("", -1)), ErrorKind::Corrupt);
  EXPECT_EQ(kind_of(small_spiece() + piece_bytes("\xff", -1)), ErrorKind::Corrupt);
  EXPECT_EQ(kind_of(small_spiece() + piece_bytes("x", std::numeric_limits<float>::quiet_NaN())), ErrorKind::Corrupt);
  EXPECT_EQ(kind_of(small_spiece() + piece_bytes(std::string(5000, 'x'), -1)), ErrorKind::Corrupt);
  EXPECT_EQ(kind_of(small_spiece() + "\x0b"), ErrorKind::Corrupt);
  EXPECT_EQ(kind_of(small_spiece() + std::string(11, '\xff')), ErrorKind::Corrupt);
  EXPECT_EQ(kind_of(small_spiece() + "\x0a\xff\xff\xff\xff\xff\xff\xff\xff\x7f"), ErrorKind::Corrupt);
}

TEST(FuzzTokenizer, MutatedSpieceModelsAreReadOrEndInAnError) {
  const auto seed = small_spiece();
  const auto real = read_file(kGolden / "text_tokenizer_spiece/spiece.model");
  test::Mutator mutate(22);
  int accepted = 0;
  for (int i = 0; i < 6000; ++i) {
    try {
      use(read_spiece_model(mutate(i % 40 == 0 ? real : seed), "fuzz"));
      ++accepted;
    } catch (const Error&) {
    }
  }
  EXPECT_GT(accepted, 100);
}

TEST(FuzzTokenizer, MutatedTokenizerJsonIsReadOrEndsInAnError) {
  const std::string seed =
      R"({"added_tokens":[{"id":1,"content":"</s>","lstrip":true,"rstrip":true,"single_word":false,"normalized":false,"special":true},)"
      R"({"id":9,"content":"[x]","single_word":true,"normalized":true}],"normalizer":{"type":"Sequence","normalizers":[{"type":"Precompiled",)"
      R"("precompiled_charsmap":"CAAAAAAEAAAAAAAAYQBiAA=="}]},"model":{"type":"Unigram","unk_id":2,"vocab":[["<pad>",0],["</s>",0],["<unk>",0],)"
      R"(["▁a",-1.5],["▁",-2],["b",-3.25]]}})";
  ASSERT_NO_THROW(use(read_tokenizer_json(seed, "seed")));
  test::Mutator mutate(23, test::json_dictionary());
  int accepted = 0;
  for (int i = 0; i < 20000; ++i) {
    try {
      use(read_tokenizer_json(mutate(seed), "fuzz"));
      ++accepted;
    } catch (const Error&) {
    }
  }
  EXPECT_GT(accepted, 100);
}

TEST(FuzzTokenizer, RandomPromptsNeverFailOrLeaveTheVocabulary) {
  const auto tokenizer = open_tokenizer(kGolden / "text_tokenizer_spiece");
  test::Mutator mutate(24, {"</s>", "<extra_id_7>", "\u0301", "▁", "ﬁ", "😀", "\u1100\u1161", "\u3000"});
  int valid = 0;
  for (int i = 0; i < 20000; ++i) {
    const auto prompt = mutate("a réd ball </s> 日本 e\u0301 ﬁne");
    if (!is_valid_utf8(prompt)) {
      EXPECT_THROW(tokenizer->pieces(prompt), Error);
      continue;
    }
    ++valid;
    for (const auto& piece : tokenizer->pieces(prompt)) {
      ASSERT_GE(piece.id, 0);
      ASSERT_LT(piece.id, tokenizer->size());
      ASSERT_LE(piece.end, prompt.size());
    }
  }
  EXPECT_GT(valid, 1000);
}

}  // namespace
}  // namespace ditscope
