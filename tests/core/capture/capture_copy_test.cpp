#include "core/capture/capture_copy.h"

#include <gtest/gtest.h>

#include <cmath>
#include <fstream>

#include "core/capture/bookmarks.h"
#include "core/capture/capture_schema.h"
#include "kernels/error.h"
#include "tests/core/capture/small_capture.h"
#include "tests/support/temporary_folder.h"

namespace ditscope {
namespace {

using namespace test;

TEST(WithoutPaths, TakesWhatLeadsSomewhereAndLeavesTheRest) {
  EXPECT_EQ(without_paths("cannot write /home/ann/x.ditcap: disk full"), "cannot write (path) disk full");
  EXPECT_EQ(without_paths("stopped: \"C:\\Users\\ann\\a.txt\""), "stopped: \"(path)\"");
  EXPECT_EQ(without_paths("~/models and \\\\server\\share"), "(path) and (path)");
  for (const char* plain : {"a/b", "1 / 2", "THUDM/CogVideoX-2b", "kept 3/4 of 2^(c/10)", "", "12:30", "http: //"}) EXPECT_EQ(without_paths(plain), plain);
}

TEST(RedactedJson, EmptiesPromptsPathsPeopleAndMachinesAtAnyDepth) {
  EXPECT_EQ(redacted_json(R"({"prompt":"a cat","negative_prompt":"x","model":"/home/ann/my models/m","steps":4,"deep":[{"hostname":"box","note":"see /tmp/a"}]})"),
            R"-({"deep":[{"hostname":"","note":"see (path)"}],"model":"","negative_prompt":"","prompt":"","steps":4})-");
  EXPECT_EQ(redacted_json("no json at /tmp/x"), "no json at (path)");
}

class CaptureCopies : public ::testing::Test {
 protected:
  void write() {
    CaptureOptions options;
    options.level = CaptureOptions::Level::Summary;
    CaptureWriter writer(file_, options);
    CaptureRun run = small_run();
    run.prompt = "SECRET-cat", run.negative_prompt = "SECRET-dog";
    run.words = R"([[[1,"SECRET",0,6]]])";
    run.request = R"({"prompt":"SECRET-cat","negative_prompt":"SECRET-dog","model":"/home/SECRET/models/tiny","latents_in":""})";
    run.model.name = "/home/SECRET/models/tiny";
    run.environment = R"({"threads":1,"user":"SECRET","host":"SECRET"})";
    writer.begin_run(run, small_sizes());
    writer.add(array("text_embedding", -1, {2, 4, 8}, 0));
    for (int step = 0; step < 4; ++step) add_step(writer, step);
    run.state = "stopped: cannot write /home/SECRET/run.ditcap";
    writer.end_run(run);
    writer.close("stopped: cannot write /home/SECRET/run.ditcap");
    add_bookmark(file_, {0, "SECRET", "SECRET", "#ff0000", R"({"locked":[3],"file":"/home/SECRET/x"})", 1, 2, 0, 0, 0});
  }
  static std::string bytes_of(const fs::path& file) {
    std::ifstream stream(file, std::ios::binary);
    return {std::istreambuf_iterator<char>(stream), {}};
  }
  test::TemporaryFolder folder_;
  fs::path file_ = folder_ / "run.ditcap", copy_ = folder_ / "copy.ditcap";
};

TEST_F(CaptureCopies, OfAllHoldAll) {
  write();
  copy_capture(file_, copy_, {});
  const CaptureReader a(file_), b(copy_);
  EXPECT_EQ(b.run(1).prompt, "SECRET-cat");
  EXPECT_EQ(b.meta().values, a.meta().values);
  ASSERT_EQ(b.calls(1).size(), a.calls(1).size());
  ASSERT_EQ(b.arrays(1).size(), a.arrays(1).size());
  for (const CaptureArrayInfo& info : a.arrays(1)) {
    const CaptureTensor& h = info.header;
    EXPECT_EQ(b.bytes(b.get(1, {h.kind, h.step, h.layer, h.branch})), a.bytes(info)) << h.kind << h.step;
  }
  EXPECT_EQ(b.plan(1, kTokens)->reasons, a.plan(1, kTokens)->reasons);
  EXPECT_EQ(b.bookmarks(1).at(0).title, "SECRET");
}

TEST_F(CaptureCopies, RedactedHoldNothingThatSaysWhatWasAskedOrWhere) {
  write();
  CaptureCopyOptions options;
  options.redact = true;
  const CaptureCopyReport report = copy_capture(file_, copy_, options);
  EXPECT_EQ(bytes_of(copy_).find("SECRET"), std::string::npos);
  EXPECT_NE(bytes_of(file_).find("SECRET"), std::string::npos) << "the original stays";
  const CaptureReader reader(copy_);
  const CaptureRun run = reader.run(1);
  EXPECT_EQ(run.prompt + run.negative_prompt, "");
  EXPECT_EQ(run.words, "[]");
  EXPECT_EQ(run.model.name, "tiny");
  EXPECT_EQ(run.state, "stopped: cannot write (path)");
  EXPECT_FALSE(reader.find(1, {"text_embedding", {}, {}, {}}));
  EXPECT_EQ(reader.bookmarks(1).at(0).step, 2);
  EXPECT_EQ(reader.bookmarks(1).at(0).view, R"({"file":"","locked":[3]})");
  EXPECT_EQ(reader.meta().values.at("redacted").find("prompts"), 0u);
  ASSERT_EQ(report.dropped.size(), 4u);
  EXPECT_NE(report.dropped[2].find("text_embedding"), std::string::npos);
  EXPECT_NE(report.dropped[3].find("show what was asked for"), std::string::npos);
}

/// The same capture as version 1.1 writes it: without the columns that came later.
void write_as_1_1(const fs::path& from, const fs::path& to) {
  sqlite::Database old(to, sqlite::Database::Mode::ReadWrite);
  for (const std::string& table : capture_file::schema(1)) old.execute(table);
  old.execute("PRAGMA application_id = " + std::to_string(capture_file::kApplicationId) + "; PRAGMA user_version = 1001");
  sqlite::Statement(old, "ATTACH ? AS new").bind(from.string()).run();
  std::vector<std::string> tables;
  sqlite::Statement names(old, "SELECT name FROM main.sqlite_schema WHERE type = 'table'");
  while (names.step()) tables.push_back(names.text(0));
  for (const std::string& table : tables) {
    sqlite::Statement columns(old, "SELECT group_concat(name) FROM pragma_table_info(?, 'main')");
    columns.bind(table);
    ASSERT_TRUE(columns.step());
    old.execute("INSERT INTO main." + table + " SELECT " + columns.text(0) + " FROM new." + table);
  }
}

TEST_F(CaptureCopies, OfAnOlderVersionAreReadAndSayNothingOfWhatItDidNotMeasure) {
  write_capture(file_);
  const fs::path old = folder_ / "old.ditcap";
  write_as_1_1(file_, old);
  copy_capture(old, copy_, {});
  for (const fs::path& file : {old, copy_}) {
    const CaptureReader reader(file);
    const CaptureCall call = *reader.call(1, 2, 1, 1);
    EXPECT_FALSE(call.correct_ms);
    const CaptureHead& head = call.heads.at(2);
    EXPECT_NEAR(*head.recall, 0.7, 1e-12);
    EXPECT_EQ(head.execute_ms, 2);
    EXPECT_FALSE(head.plan_ms || head.correct_ms || head.pv_left_out_ratio);
    for (const auto& value : reader.head_values(1, "correct_ms")) EXPECT_TRUE(std::isnan(value.value));
    EXPECT_EQ(reader.steps(1).size(), 4u);
    EXPECT_TRUE(reader.find(1, {"latents", 4, {}, {}}));
  }
  EXPECT_EQ(CaptureReader(old).meta().version, 1001);
  EXPECT_EQ(CaptureReader(copy_).meta().version, 1002);
  const CaptureCall now = *CaptureReader(file_).call(1, 2, 1, 1);
  EXPECT_EQ(now.correct_ms, 4.5);
  EXPECT_EQ(now.heads.at(2).correct_ms, 2.5);
  EXPECT_EQ(now.heads.at(2).plan_ms, 0.25);
  EXPECT_EQ(now.heads.at(2).pv_left_out_ratio, 0.125);
}

TEST_F(CaptureCopies, OfSomeStepsAndKindsAreSmallerAndReadable) {
  write();
  CaptureCopyOptions options;
  options.steps = IndexSet("1");
  options.layers = IndexSet("0");
  options.without = {"latents"};
  const CaptureCopyReport report = copy_capture(file_, copy_, options);
  EXPECT_LT(report.bytes, report.bytes_before);
  EXPECT_EQ(fs::file_size(copy_), static_cast<std::uintmax_t>(report.bytes));
  const CaptureReader reader(copy_);
  EXPECT_EQ(reader.steps(1).size(), 4u) << "the figures of steps stay";
  EXPECT_EQ(reader.calls(1).size(), 2u);
  EXPECT_EQ(reader.calls(1).at(0).step, 1);
  EXPECT_FALSE(reader.find(1, {"latents", {}, {}, {}}));
  EXPECT_EQ(reader.arrays(1, {"map", {}, {}, {}}).size(), 1u);
  EXPECT_EQ(reader.plan(reader.calls(1).at(0).heads.at(0).plan_id, kTokens)->reasons, small_plan()->reasons);
}

TEST_F(CaptureCopies, RefuseTheirOwnNameAndLeaveNothingBehindWhereTheyFail) {
  write();
  EXPECT_THROW(copy_capture(file_, file_, {}), Error);
  std::ofstream(folder_ / "bad.ditcap") << "no capture";
  EXPECT_THROW(copy_capture(folder_ / "bad.ditcap", copy_, {}), Error);
  EXPECT_THROW(copy_capture(file_, "/proc/none/copy.ditcap", {}), Error);
  EXPECT_FALSE(fs::exists(copy_));
  EXPECT_FALSE(fs::exists(copy_.string() + ".new"));
}

TEST_F(CaptureCopies, OfALiveCaptureHoldItsCompleteSteps) {
  CaptureOptions options;
  options.level = CaptureOptions::Level::Summary;
  CaptureWriter writer(file_, options);
  writer.begin_run(small_run(), small_sizes());
  add_step(writer, 0);
  add_step(writer, 1);
  writer.drain();
  copy_capture(file_, copy_, {});
  const CaptureReader reader(copy_);
  EXPECT_EQ(reader.steps(1).size(), 2u);
  EXPECT_EQ(reader.meta().state, "interrupted: complete up to step 1");
  EXPECT_THROW(copy_capture(copy_, file_, {}), Error) << "nor is it written over";
}

}  // namespace
}  // namespace ditscope
