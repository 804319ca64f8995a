#include "core/text/train_tokenizer.h"

#include <gtest/gtest.h>
#include <sentencepiece_processor.h>

#include "core/text/tokenizer.h"
#include "kernels/error.h"
#include "tests/support/temporary_folder.h"

namespace ditscope {
namespace {

std::vector<std::string> sentences() {
  std::vector<std::string> out;
  for (const char* size : {"small", "large", "tiny"}) {
    for (const char* colour : {"red", "green", "blue", "yellow"}) {
      for (const char* shape : {"ball", "cube", "cone"}) {
        out.push_back(std::string("a ") + size + " " + colour + " " + shape + " moves left on a wooden floor");
        out.push_back(std::string("the camera pans over ") + size + " " + shape + "s, " + colour);
      }
    }
  }
  return out;
}

TEST(TrainTokenizer, TheFolderOpensInTheConventionsOfT5) {
  const test::TemporaryFolder folder;
  TokenizerTraining training;
  training.vocabulary_size = 90;
  const int size = train_tokenizer(sentences(), folder / "tokenizer", training);
  const auto tokenizer = open_tokenizer(folder / "tokenizer");
  EXPECT_EQ(tokenizer->size(), size);
  EXPECT_LE(size, 90);
  EXPECT_EQ(tokenizer->piece(0), "<pad>");
  EXPECT_EQ(tokenizer->piece(1), "</s>");
  EXPECT_EQ(tokenizer->piece(2), "<unk>");
  sentencepiece::SentencePieceProcessor oracle;
  ASSERT_TRUE(oracle.Load((folder / "tokenizer/spiece.model").string()).ok());
  EXPECT_EQ(oracle.GetPieceSize(), size);
  for (const auto& sentence : sentences()) {
    std::vector<int> expected;
    ASSERT_TRUE(oracle.Encode(sentence, &expected).ok());
    std::vector<int> ids;
    for (const auto& piece : tokenizer->pieces(sentence)) ids.push_back(static_cast<int>(piece.id));
    EXPECT_EQ(ids, expected) << sentence;
  }
}

TEST(TrainTokenizer, SentinelsFollowTheVocabulary) {
  const test::TemporaryFolder folder;
  TokenizerTraining training;
  training.vocabulary_size = 60;
  training.extra_ids = 3;
  const int size = train_tokenizer(sentences(), folder / "t", training);
  const auto tokenizer = open_tokenizer(folder / "t");
  EXPECT_EQ(tokenizer->piece(size - 1), "<extra_id_0>");
  EXPECT_EQ(tokenizer->piece(size - 3), "<extra_id_2>");
}

TEST(TrainTokenizer, MoreWordsThanAskedForAreNoError) {
  const test::TemporaryFolder folder;
  TokenizerTraining training;
  training.vocabulary_size = 5000;
  EXPECT_LT(train_tokenizer(sentences(), folder / "t", training), 5000);
}

TEST(TrainTokenizer, TooLittleIsRefused) {
  const test::TemporaryFolder folder;
  EXPECT_THROW(train_tokenizer({}, folder / "t"), Error);
  TokenizerTraining training;
  training.vocabulary_size = 5;  // fewer than there are letters
  EXPECT_THROW(train_tokenizer(sentences(), folder / "t", training), Error);
}

}  // namespace
}  // namespace ditscope
