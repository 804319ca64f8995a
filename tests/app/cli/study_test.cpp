// `ditscope-cli study claims`, as people run it: a small study, stopped by nothing, gone on with, and written up.
#include <gtest/gtest.h>
#include <sys/wait.h>

#include <cstdio>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <string>

#include "tests/support/temporary_folder.h"

namespace ditscope {
namespace {

struct Outcome {
  int code = -1;
  std::string out;
};

Outcome run(const std::string& arguments) {
  Outcome outcome;
  FILE* pipe = popen((std::string("OMP_NUM_THREADS=1 '") + DITSCOPE_CLI + "' study claims " + arguments + " 2>/dev/null").c_str(), "r");
  char buffer[4096];
  for (std::size_t n; (n = fread(buffer, 1, sizeof buffer, pipe)) > 0;) outcome.out.append(buffer, n);
  const int status = pclose(pipe);
  outcome.code = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
  return outcome;
}

std::string text_of(const std::filesystem::path& file) {
  std::ifstream stream(file);
  return {std::istreambuf_iterator<char>(stream), {}};
}

constexpr const char* kSmall = "--prompts 1 --steps 4 --frames 9 --size 64 --threads 1 --no-ablations --methods re-ttention --quiet ";

TEST(StudyClaims, RunsMatchesAndWritesUpAndThenHasNothingLeftToDo) {
  const test::TemporaryFolder temporary;
  const std::string folder = "-o '" + (temporary.path() / "study").string() + "' ";
  const Outcome first = run(kSmall + folder + "--ratios 80% --json");
  ASSERT_EQ(first.code, 0) << first.out;
  const auto json = nlohmann::json::parse(first.out);
  EXPECT_EQ(json.at("runs"), 4) << "full attention, another seed, another type, Re-ttention";
  bool seen = false;
  for (const auto& cell : json.at("cells")) {
    if (cell.at("id") != "re-ttention@0.8") continue;
    seen = true;
    EXPECT_NEAR(cell.at("values").at("kept_sparse").at("mean").get<double>(), 0.8, 0.12) << "text alone is 64 % of so small a grid";
    EXPECT_GT(cell.at("values").at("psnr_db").at("mean").get<double>(), 15);
  }
  EXPECT_TRUE(seen);
  const std::string lines = text_of(temporary.path() / "study" / "results.jsonl");
  EXPECT_EQ(run(kSmall + folder + "--ratios 80%").code, 0);
  EXPECT_EQ(text_of(temporary.path() / "study" / "results.jsonl"), lines) << "nothing is run twice";
  EXPECT_EQ(run("--report-only " + folder + "--report '" + (temporary.path() / "page").string() + "'").code, 0);
  EXPECT_NE(text_of(temporary.path() / "page" / "report.html").find("data:image/jpeg"), std::string::npos);
}

TEST(StudyClaims, RefusesWhatItCannotRunBeforeItRunsAnything) {
  const test::TemporaryFolder temporary;
  const std::string folder = " -o '" + (temporary.path() / "study").string() + "'";
  EXPECT_EQ(run("--ratios 0" + folder).code, 2);
  EXPECT_EQ(run("--ratios x" + folder).code, 2);
  EXPECT_EQ(run("--steps 2" + folder).code, 2);
  EXPECT_EQ(run("--size 100" + folder).code, 2);
  EXPECT_EQ(run("--methods nothing" + folder).code, 3);
  EXPECT_EQ(run("--report-only" + folder).code, 3);
  EXPECT_FALSE(std::filesystem::exists(temporary.path() / "study"));
}

}  // namespace
}  // namespace ditscope
