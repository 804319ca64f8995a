#include "core/study/folder.h"

#include <gtest/gtest.h>

#include <fstream>
#include <limits>

#include "kernels/error.h"
#include "tests/support/temporary_folder.h"

namespace ditscope::study {
namespace {

using test::TemporaryFolder;

Settings small() {
  Settings settings;
  settings.steps = 6;
  settings.frames = 9;
  settings.height = settings.width = 64;
  return settings;
}

TEST(StudyFolder, GoesOnWhereItWasLeft) {
  const TemporaryFolder temporary;
  const auto path = temporary.path() / "study";
  {
    Folder folder(path, small(), "model");
    folder.add({"a@0.5", 0, {{"psnr_db", 31.5}}});
    folder.add_matches({"re-ttention", {{0.5, 0.49, true, {"re-ttention", {{"kept_ratio", 0.3}}}}}});
  }
  Folder again(path, small(), "model");
  EXPECT_TRUE(again.has("a@0.5", 0));
  EXPECT_FALSE(again.has("a@0.5", 1));
  ASSERT_NE(again.matches_of("re-ttention"), nullptr);
  EXPECT_EQ(std::get<double>(again.matches_of("re-ttention")->matches[0].choice.parameters.at("kept_ratio")), 0.3);
  EXPECT_EQ(again.matches_of("adaspa"), nullptr);
  EXPECT_EQ(again.study().records[0].values.at("psnr_db"), 31.5);
}

TEST(StudyFolder, ForgetsTheHalfLineOfAKilledRun) {
  const TemporaryFolder temporary;
  const auto path = temporary.path() / "study";
  {
    Folder folder(path, small(), "model");
    folder.add({"a", 0, {{"ssim", 1}}});
  }
  std::ofstream(path / "results.jsonl", std::ios::app) << R"({"cell":"b","pro)";
  EXPECT_EQ(Folder::read(path).records.size(), 1u);
  Folder again(path, small(), "model");
  again.add({"c", 2, {}});
  const Study study = Folder::read(path);
  ASSERT_EQ(study.records.size(), 2u);
  EXPECT_EQ(study.records[1].cell, "c");
}

TEST(StudyFolder, RefusesOtherSettingsAndAnotherModelByName) {
  const TemporaryFolder temporary;
  { Folder folder(temporary.path(), small(), "model"); }
  Settings other = small();
  other.steps = 7;
  try {
    Folder folder(temporary.path(), other, "another");
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::InvalidArgument);
    EXPECT_NE(std::string(error.what()).find("steps 6"), std::string::npos) << error.what();
    EXPECT_NE(std::string(error.what()).find("another model"), std::string::npos) << error.what();
  }
  Settings more = small();
  more.prompts = 48;
  EXPECT_NO_THROW(Folder(temporary.path(), more, "model")) << "more prompts may be asked for";
}

TEST(StudyFolder, IsNamedWhereThereIsNoneOrItIsDamaged) {
  const TemporaryFolder temporary;
  EXPECT_THROW(Folder::read(temporary.path()), Error);
  std::ofstream(temporary.path() / "study.json") << "{}";
  try {
    Folder::read(temporary.path());
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::Corrupt);
  }
}

TEST(StudyRecord, IsOneLineThatReadsBack) {
  const Record record{"re-ttention@0.5/lambda=0", 3, {{"psnr_db", 30.25}, {"bad", std::numeric_limits<double>::infinity()}}};
  const std::string line = to_line(record);
  EXPECT_EQ(line.find('\n'), std::string::npos);
  const Record back = record_from(line);
  EXPECT_EQ(back.cell, record.cell);
  EXPECT_EQ(back.prompt, 3);
  EXPECT_EQ(back.values, (std::map<std::string, double>{{"psnr_db", 30.25}})) << "what is not finite is left out";
  for (const char* wrong : {"", "{", "[]", R"({"cell":"a"})", R"({"cell":1,"prompt":"x","values":{}})"}) EXPECT_THROW(record_from(wrong), Error) << wrong;
}

}  // namespace
}  // namespace ditscope::study
