// The capture options of generate and compare, and the command capture, as people run them.
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

namespace fs = std::filesystem;
using Json = nlohmann::json;

struct Outcome {
  int exit_code = -1;
  std::string out;
  Json json() const { return Json::parse(out); }
};

class CaptureCli : public ::testing::Test {
 protected:
  Outcome cli(const std::string& arguments) {
    const std::string command = "\"" + std::string(DITSCOPE_CLI) + "\" " + arguments + " 2> " + (folder_ / "stderr").string();
    Outcome outcome;
    FILE* stream = popen(command.c_str(), "r");
    char buffer[4096];
    for (std::size_t n; (n = std::fread(buffer, 1, sizeof buffer, stream)) > 0;) outcome.out.append(buffer, n);
    const int status = pclose(stream);
    outcome.exit_code = WIFEXITED(status) ? WEXITSTATUS(status) : 128;
    return outcome;
  }
  std::string err() const {
    std::ifstream stream(folder_ / "stderr");
    return {std::istreambuf_iterator<char>(stream), {}};
  }
  std::string tiny(const std::string& command) const {
    return command + " --model '" + DITSCOPE_SOURCE_DIR +
           "/tests/golden/cogx_5b_dpm_dynamic_cfg' --prompt 'a small red cat' --steps 6 --frames 5 --width 64 --height 48 --threads 1 --device cpu -o " +
           (folder_ / "out.mp4").string();
  }
  std::string at(const std::string& name) const { return (folder_ / name).string(); }

  test::TemporaryFolder folder_;
};

TEST_F(CaptureCli, GenerateRecordsTellsAndExports) {
  const Outcome made = cli(tiny("generate") + " --method re-ttention:kept_ratio=0.25 --capture summary --shadow 5 --capture-steps 5 --json");
  ASSERT_EQ(made.exit_code, 0) << err();
  const Json capture = made.json()["capture"];
  EXPECT_EQ(capture["file"], at("out.ditcap"));
  EXPECT_EQ(capture["steps"], 6);
  EXPECT_EQ(capture["gaps"], 0);
  EXPECT_GE(capture["estimate_bytes"].get<double>(), 1000);
  EXPECT_NE(err().find("at most"), std::string::npos) << "the size is told before the run";
  EXPECT_FALSE(fs::exists(at("out.ditcap-wal")));

  const Outcome info = cli("capture info " + at("out.ditcap") + " --json");
  ASSERT_EQ(info.exit_code, 0) << err();
  EXPECT_EQ(info.json()["runs"][0]["steps_complete"], 6);
  EXPECT_EQ(info.json()["state"], "complete");
  EXPECT_EQ(cli("capture info " + at("out.ditcap")).out.find("out.ditcap"), at("").size());

  const Outcome map = cli("capture export " + at("out.ditcap") + " --quantity map --step 5 --layer 1 --branch 1 --head 0");
  ASSERT_EQ(map.exit_code, 0) << err();
  EXPECT_EQ(map.json()["shape"].size(), 2u);
  const Outcome heads = cli("capture export " + at("out.ditcap") + " --quantity recall --step 5");
  EXPECT_EQ(heads.json()["about"]["entries_are"][3], "head");
  const Outcome row = cli("capture export " + at("out.ditcap") + " --quantity row --step 4 --layer 1 --branch 1 --head 0 --token 20 --quiet");
  ASSERT_EQ(row.exit_code, 0) << err();
  EXPECT_EQ(row.json()["about"]["bit_identical"], true) << row.json()["about"];
  double sum = 0;
  const Json values = row.json()["values"];
  for (const auto& value : values) sum += value.get<double>();
  EXPECT_NEAR(sum, 1, 1e-5);
  const Outcome stored = cli("capture export " + at("out.ditcap") + " --quantity row --step 5 --layer 1 --branch 1 --head 0 --token 20");
  EXPECT_EQ(stored.json()["about"]["source"], "stored");
  const Outcome file = cli("capture export " + at("out.ditcap") + " --quantity latents --step 6 -o " + at("latents.safetensors"));
  ASSERT_EQ(file.exit_code, 0) << err();
  EXPECT_GT(fs::file_size(at("latents.safetensors")), 1000u);
}

TEST_F(CaptureCli, CompareRecordsAllRunsInOneFileAndDiffHoldsThemAgainstEachOther) {
  const Outcome made = cli(tiny("compare") + " --methods 'full;window:kept_ratio=0.25' --capture full:" + at("both.ditcap") + " --json --quiet");
  ASSERT_EQ(made.exit_code, 0) << err();
  const Outcome diff = cli("capture diff " + at("both.ditcap") + " --json");
  ASSERT_EQ(diff.exit_code, 0) << err();
  EXPECT_EQ(diff.json()["steps"].size(), 6u);
  EXPECT_EQ(diff.json()["same_noise"], true);
  EXPECT_TRUE(diff.json()["first_divergence"].is_number());
  EXPECT_NE(cli("capture diff " + at("both.ditcap")).out.find("first divergence"), std::string::npos);
}

TEST_F(CaptureCli, AModelThatChangedIsNotReplayed) {
  ASSERT_EQ(cli(tiny("generate") + " --capture summary").exit_code, 0) << err();
  fs::copy(std::string(DITSCOPE_SOURCE_DIR) + "/tests/golden/cogx_5b_dpm_dynamic_cfg", at("model"), fs::copy_options::recursive);
  const std::string row = "capture export " + at("out.ditcap") + " --quantity row --step 3 --layer 0 --branch 1 --head 0 --token 4 --quiet --model " + at("model");
  const Outcome same = cli(row);
  ASSERT_EQ(same.exit_code, 0) << err();
  EXPECT_EQ(same.json()["about"]["source"], "replayed");
  for (const auto& entry : fs::recursive_directory_iterator(at("model"))) {
    if (entry.path().extension() != ".safetensors" || entry.path().parent_path().filename() != "transformer") continue;
    std::fstream stream(entry.path(), std::ios::in | std::ios::out | std::ios::binary);
    stream.seekp(-2048, std::ios::end);  // a fingerprint samples large files, their last page among the pieces
    stream.put('!');
  }
  EXPECT_NE(cli(row).exit_code, 0);
  EXPECT_NE(err().find("is another one than this capture was made with"), std::string::npos) << err();
}

TEST_F(CaptureCli, CompactWritesACopyWithoutWhatWasAskedForAndSaysSo) {
  ASSERT_EQ(cli(tiny("generate") + " --capture summary").exit_code, 0) << err();
  const Outcome made = cli("capture compact " + at("out.ditcap") + " --redact --steps 0,3 --without latents,preview -o " + at("public.ditcap"));
  ASSERT_EQ(made.exit_code, 0) << err();
  EXPECT_NE(made.out.find("The prompt, the negative prompt and their words are empty."), std::string::npos) << made.out;
  EXPECT_NE(made.out.find("arrays latents are left out."), std::string::npos) << made.out;
  const Outcome info = cli("capture info " + at("public.ditcap") + " --json");
  ASSERT_EQ(info.exit_code, 0) << err();
  EXPECT_EQ(info.json()["runs"][0]["prompt"], "");
  EXPECT_EQ(info.out.find(DITSCOPE_SOURCE_DIR), std::string::npos);
  EXPECT_EQ(info.out.find("red cat"), std::string::npos);
  EXPECT_LT(fs::file_size(at("public.ditcap")), fs::file_size(at("out.ditcap")));
  EXPECT_EQ(cli("capture compact " + at("out.ditcap") + " --without latent -o " + at("x.ditcap")).exit_code, 3);
  EXPECT_NE(err().find("It holds:"), std::string::npos) << err();
}

TEST_F(CaptureCli, WrongUseIsToldWithItsExitCode) {
  EXPECT_EQ(cli(tiny("generate") + " --capture everything").exit_code, 2);
  EXPECT_EQ(cli(tiny("generate") + " --capture summary --capture-budget plenty").exit_code, 2);
  EXPECT_EQ(cli(tiny("generate") + " --capture summary --capture-layers 3-1").exit_code, 2);
  EXPECT_EQ(cli(tiny("generate") + " --shadow all").exit_code, 2);
  EXPECT_EQ(cli("capture").exit_code, 2);
  EXPECT_EQ(cli("capture info " + at("none.ditcap")).exit_code, 3);
  std::ofstream(folder_ / "bad.ditcap") << "not a capture, by far";
  EXPECT_EQ(cli("capture info " + at("bad.ditcap")).exit_code, 4);
  EXPECT_EQ(cli("capture --help").exit_code, 0);
  EXPECT_NE(cli("capture export --help").out.find("--quantity"), std::string::npos);
  EXPECT_EQ(cli("capture export " + at("bad.ditcap") + " --quantity map -o x.png").exit_code, 2);
}

}  // namespace
}  // namespace ditscope
