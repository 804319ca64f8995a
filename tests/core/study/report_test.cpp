#include "core/study/report.h"

#include <gtest/gtest.h>

#include <fstream>
#include <nlohmann/json.hpp>
#include <sstream>

#include "core/study/summary.h"
#include "core/study/svg.h"
#include "tests/support/temporary_folder.h"

namespace ditscope::study {
namespace {

Cell cell(const std::string& method, double ratio, const std::string& variant = "") {
  Cell c{"", method, variant, ratio, {method, {}}, ratio, false, 4};
  c.id = cell_id(method, ratio, variant);
  return c;
}

/// Re-ttention 2 dB above DiTFastAttn at one ratio, and lambda without effect on average.
Study example() {
  Study study;
  study.settings.prompts = 6;
  study.model_fingerprint = "0123456789abcdef0123";
  study.captions = {"a <b> & \"c\", d", "two", "three", "four", "five", "six"};
  study.cells = {cell("full", 0), cell("re-ttention", 0.0625), cell("ditfastattn", 0.0625), cell("re-ttention", 0.0625, "lambda=0"),
                 cell("adaspa", 0.0625)};
  study.matches = {{"adaspa", {{0.0625, 0.11, false, {"adaspa", {}}}}}};
  for (int prompt = 0; prompt < 6; ++prompt) {
    const double base = 30 + prompt;
    study.records.push_back({"full", prompt, {{"accuracy", 0.75}, {"kept_run", 1}}});
    study.records.push_back({"re-ttention@0.0625", prompt, {{"psnr_db", base}, {"accuracy", 0.5}, {"kept_sparse", 0.06}, {"kept_run", 0.4}}});
    study.records.push_back({"ditfastattn@0.0625", prompt, {{"psnr_db", base - 2}, {"accuracy", 0.5}, {"kept_sparse", 0.06}, {"kept_run", 0.4}}});
    study.records.push_back({"re-ttention@0.0625/lambda=0", prompt, {{"psnr_db", base + (prompt % 2 ? 1 : -1)}, {"accuracy", 0.5}}});
  }
  return study;
}

TEST(StudySummary, PairsByPrompt) {
  const Study study = example();
  const Summary summary = summarise(study);
  EXPECT_EQ(summary.prompts, 6);
  EXPECT_EQ(summary.find("adaspa@0.0625"), nullptr) << "nothing was run for it";
  EXPECT_NEAR(summary.find("re-ttention@0.0625")->of("accuracy_loss").mean, 0.25, 1e-12);
  ASSERT_EQ(summary.verdicts.size(), 2u);
  EXPECT_EQ(summary.verdicts[0].verdict(), "holds");
  EXPECT_NEAR(summary.verdicts[0].difference.mean, 2, 1e-12);
  EXPECT_NEAR(summary.verdicts[0].difference.low, 2, 1e-12) << "the spread between prompts cancels";
  EXPECT_EQ(summary.verdicts[1].verdict(), "open");
  const Verdict wrong{"", "", "", {-1, -2, -0.5, 6}};
  EXPECT_EQ(wrong.verdict(), "contradicted");
  const Verdict few{"", "", "", {1, 0.5, 2, 5}};
  EXPECT_EQ(few.verdict(), "too few prompts");
}

TEST(StudyReport, JsonHasEveryCellAndWhatIsOutOfReach) {
  const auto json = nlohmann::json::parse(summary_json(example()));
  EXPECT_EQ(json.at("runs"), 24);
  EXPECT_EQ(json.at("cells").size(), 4u);
  EXPECT_EQ(json.at("cells")[1].at("values").at("psnr_db").at("count"), 6);
  EXPECT_EQ(json.at("out_of_reach")[0].at("nearest"), 0.11);
  EXPECT_EQ(json.at("claims")[0].at("verdict"), "holds");
}

TEST(StudyReport, CsvHasALineARunAndAsManyFieldsInEach) {
  std::stringstream csv(results_csv(example()));
  std::string line;
  int lines = 0;
  while (std::getline(csv, line)) {
    bool quoted = false;
    int fields = 1;
    for (const char c : line) {
      quoted ^= c == '"';
      fields += c == ',' && !quoted;
    }
    EXPECT_EQ(fields, 11) << line;
    ++lines;
  }
  EXPECT_EQ(lines, 25);
  EXPECT_NE(results_csv(example()).find("\"a <b> & \"\"c\"\", d\""), std::string::npos);
}

TEST(StudyReport, PageEscapesTextAndNeedsNoOtherFile) {
  const test::TemporaryFolder temporary;
  std::filesystem::create_directories(temporary.path() / "strips");
  std::ofstream(Folder::strip(temporary.path(), "full", 0)) << "JPEG";
  Study study = example();
  study.cells[2].variant = "<script>";
  const std::string page = report_html(study, temporary.path());
  EXPECT_NE(page.find("a &lt;b&gt; &amp; &quot;c&quot;, d"), std::string::npos);
  EXPECT_EQ(page.find("<script"), std::string::npos);
  EXPECT_NE(page.find("data:image/jpeg;base64,SlBFRw=="), std::string::npos);
  EXPECT_EQ(page.find("http"), std::string::npos) << "nothing is fetched";
  EXPECT_NE(page.find("6 of 6 held-out captions"), std::string::npos);
  EXPECT_EQ(page.find("nan"), std::string::npos);
}

TEST(StudyReport, OfNothingIsStillAPage) {
  Study study;
  study.model_fingerprint = "x";
  const test::TemporaryFolder temporary;
  write_report(study, temporary.path(), temporary.path() / "report");
  for (const char* name : {"report.html", "summary.json", "results.csv"}) EXPECT_TRUE(std::filesystem::exists(temporary.path() / "report" / name)) << name;
}

TEST(StudyPlot, KeepsItsPointsInsideAndSaysWhereThereAreNone) {
  Plot plot{"PSNR <1>", "kept", "dB", true, {}, {}};
  EXPECT_NE(svg(plot).find("nothing has been run"), std::string::npos);
  plot.lines.push_back({"a & b", {{0.03, {20, 19, 21, 4}}, {0.5, {40, 39, 41, 4}}}, true});
  plot.levels.push_back({"floor", 50});
  const std::string text = svg(plot);
  EXPECT_NE(text.find("PSNR &lt;1&gt;"), std::string::npos);
  EXPECT_NE(text.find("a &amp; b"), std::string::npos);
  EXPECT_EQ(text.find("nan"), std::string::npos);
  EXPECT_EQ(text.find("=\"-"), std::string::npos) << "no coordinate left of or above the plot";
}

TEST(StudyPlot, OfOnePointHasRoomAroundIt) {
  const Plot plot{"one", "x", "y", false, {{"a", {{0.5, {1, 1, 1, 1}}}, true}}, {}};
  EXPECT_EQ(svg(plot).find("inf"), std::string::npos);
}

}  // namespace
}  // namespace ditscope::study
