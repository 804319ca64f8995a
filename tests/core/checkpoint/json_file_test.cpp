#include "core/checkpoint/json_file.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <nlohmann/json.hpp>

#include "kernels/error.h"
#include "tests/fuzz/mutate.h"
#include "tests/support/temporary_folder.h"

namespace ditscope {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

std::string message_of(const std::string& text, const JsonLimits& limits = {}) {
  try {
    parse_json(text, "config.json", limits);
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::Corrupt);
    return error.what();
  }
  ADD_FAILURE() << "accepted: " << text.substr(0, 60);
  return {};
}

TEST(Json, ValidTextIsReadWhole) {
  const auto value = parse_json(R"({"a":[1,-2,3.5,"ä",true,null],"b":{"c":{}}})", "x");
  EXPECT_EQ(value.dump(), R"({"a":[1,-2,3.5,"ä",true,null],"b":{"c":{}}})");
  EXPECT_EQ(parse_json("7", "x"), 7);
}

TEST(Json, ErrorsNameFileLineAndColumn) {
  EXPECT_THAT(message_of("{\n \"a\": 1,\n \"b\": x}"), AllOf(HasSubstr("config.json"), HasSubstr("line 3, column 7")));
  EXPECT_THAT(message_of(""), HasSubstr("empty"));
  EXPECT_THAT(message_of("{\"a\": 1"), HasSubstr("line 1"));
}

TEST(Json, InvalidUtf8IsRefused) {
  for (const char* text : {"\"\xff\"", "\"\xc0\xaf\"", "\"\xed\xa0\x80\"", "\"\xf4\x90\x80\x80\"", "\"\xe2\x82\"", "\"\\ud800\""})
    message_of(text);
}

TEST(Json, KeysThatComeTwiceAreNamed) {
  EXPECT_THAT(message_of(R"({"x":{"width":1,"width":2}})"), HasSubstr("\"width\" comes twice"));
  EXPECT_NO_THROW(parse_json(R"([{"width":1},{"width":2}])", "x"));
}

TEST(Json, DepthAndSizeAreLimited) {
  JsonLimits limits;
  limits.max_depth = 3;
  EXPECT_NO_THROW(parse_json("[[[1]]]", "x", limits));
  EXPECT_THAT(message_of("[[[[1]]]]", limits), HasSubstr("deeper than 3"));
  EXPECT_THAT(message_of(std::string(5000000, '[')), HasSubstr("deeper than 64"));
  limits.max_bytes = 4;
  EXPECT_THAT(message_of("[1,2]", limits), HasSubstr("at most 4 bytes"));
}

TEST(Json, FilesAreCheckedBeforeTheyAreParsed) {
  const test::TemporaryFolder folder;
  const auto kind_of = [](const std::filesystem::path& path, std::size_t most = 100) {
    try {
      JsonLimits limits;
      limits.max_bytes = most;
      load_json(path, limits);
    } catch (const Error& error) {
      return error.kind();
    }
    return ErrorKind::Cancelled;
  };
  EXPECT_EQ(kind_of(folder / "none.json"), ErrorKind::NotFound);
  EXPECT_EQ(kind_of(folder.path()), ErrorKind::NotFound);
  std::ofstream(folder / "large.json") << "[" << std::string(200, ' ') << "]";
  EXPECT_EQ(kind_of(folder / "large.json"), ErrorKind::Corrupt);
  EXPECT_EQ(kind_of(folder / "large.json", 1000), ErrorKind::Cancelled);
  std::ofstream(folder / "pointer.json") << "version https://git-lfs.github.com/spec/v1\n";
  EXPECT_EQ(kind_of(folder / "pointer.json"), ErrorKind::Corrupt);
}

TEST(Utf8, EveryRangeEndIsJudgedRight) {
  for (const char* good : {"", "a", "\x7f", "\xc2\x80", "\xdf\xbf", "\xe0\xa0\x80", "\xed\x9f\xbf", "\xee\x80\x80",
                           "\xf0\x90\x80\x80", "\xf4\x8f\xbf\xbf"}) {
    EXPECT_TRUE(is_valid_utf8(good)) << good;
  }
  for (const char* bad : {"\x80", "\xc1\xbf", "\xc2", "\xc2\x41", "\xe0\x9f\xbf", "\xed\xa0\x80", "\xf0\x8f\xbf\xbf",
                          "\xf4\x90\x80\x80", "\xf8\x88\x80\x80\x80", "\xff"}) {
    std::size_t position = 0;
    EXPECT_FALSE(is_valid_utf8("ok" + std::string(bad), &position)) << bad;
    EXPECT_EQ(position, 2u);
  }
}

TEST(FuzzJson, MutatedTextIsReadOrEndsInAnError) {
  test::Mutator mutate(21, test::json_dictionary());
  const std::string seed =
      R"({"_class_name":"CogVideoXPipeline","vae":["diffusers","AutoencoderKL"],"n":[1,-2.5e3,true,null,"\u00e4\n"],"o":{"p":{}}})";
  int accepted = 0;
  for (int i = 0; i < 60000; ++i) {
    try {
      parse_json(mutate(seed), "fuzz");
      ++accepted;
    } catch (const Error& error) {
      ASSERT_EQ(error.kind(), ErrorKind::Corrupt);
    }
  }
  EXPECT_GT(accepted, 1000);
}

}  // namespace
}  // namespace ditscope
