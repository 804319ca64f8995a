// The command inspect on the recorded run, as people run it.
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

using Json = nlohmann::json;

class InspectCli : public ::testing::Test {
 protected:
  /// @return the exit code; what it printed is in `out`
  int inspect(const std::string& arguments) {
    return command(std::string("inspect '") + DITSCOPE_SOURCE_DIR + "/resources/captures/tour.ditcap' " + arguments);
  }
  int command(const std::string& arguments) {
    const std::string line = "\"" + std::string(DITSCOPE_CLI) + "\" " + arguments + " 2> '" + (folder_ / "stderr").string() + "'";
    out.clear();
    FILE* stream = popen(line.c_str(), "r");
    char buffer[4096];
    for (std::size_t n; (n = std::fread(buffer, 1, sizeof buffer, stream)) > 0;) out.append(buffer, n);
    const int status = pclose(stream);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128;
  }
  std::string errors() const {
    std::ifstream stream(folder_ / "stderr");
    return {std::istreambuf_iterator<char>(stream), {}};
  }
  std::string file(const std::string& name) const { return "'" + (folder_ / name).string() + "'"; }
  std::string begin_of(const std::string& name, std::size_t count) const {
    std::ifstream stream(folder_ / name, std::ios::binary);
    std::string begin(count, '\0');
    stream.read(begin.data(), static_cast<std::streamsize>(count));
    return begin.substr(0, static_cast<std::size_t>(stream.gcount()));
  }
  test::TemporaryFolder folder_;
  std::string out;
};

TEST_F(InspectCli, WritesPicturesOfEachKind) {
  ASSERT_EQ(inspect("--view summary --size 300x200 --dpi 192 -o " + file("a.png")), 0);
  EXPECT_EQ(begin_of("a.png", 4), "\x89PNG");
  const std::string header = begin_of("a.png", 24);
  EXPECT_EQ(static_cast<unsigned char>(header[18]) * 256 + static_cast<unsigned char>(header[19]), 600);
  EXPECT_EQ(inspect("--view summary --light -o " + file("a.svg")), 0);
  EXPECT_EQ(begin_of("a.svg", 5), "<?xml");
  EXPECT_EQ(inspect("--view summary -o " + file("a.pdf")), 0);
  EXPECT_EQ(begin_of("a.pdf", 5), "%PDF-");
}

TEST_F(InspectCli, SweepsOverTheSteps) {
  ASSERT_EQ(inspect("--view summary --sweep step --size 160x120 --fps 10 -o " + file("a.gif")), 0);
  EXPECT_EQ(begin_of("a.gif", 3), "GIF");
  EXPECT_EQ(inspect("--view summary --sweep step -o " + file("a.png")), 2);
}

TEST_F(InspectCli, EndsWithEightWhereAnAssertionFails) {
  EXPECT_EQ(inspect("--run B --assert 'recall>0.1' --assert 'kept<0.9'"), 0);
  EXPECT_EQ(inspect("--run B --assert 'recall>0.1' --assert 'recall_min>=1.5'"), 8);
  EXPECT_NE(out.find("FAILS: recall_min>=1.5"), std::string::npos);
  EXPECT_EQ(inspect("--run B --assert 'beauty>1'"), 2);
  EXPECT_EQ(inspect("--run B --assert 'recall=>1'"), 2);
  EXPECT_EQ(inspect("--run A --assert 'rho_used>0'"), 3) << "full attention has none";
}

TEST_F(InspectCli, JudgesASingleStepWhereOneIsNamed) {
  ASSERT_EQ(inspect("--run B --step 0 --assert 'kept==1' --json"), 0);
  EXPECT_EQ(Json::parse(out)["assertions"][0]["value"], 1.0);
  EXPECT_EQ(inspect("--run B --step 4 --assert 'kept==1'"), 8);
}

TEST_F(InspectCli, PrintsAllFiguresOfTheCursor) {
  ASSERT_EQ(inspect("--run B --step 4 --layer 3 --head 2 --json"), 0);
  const Json json = Json::parse(out);
  EXPECT_EQ(json["letter"], "B");
  EXPECT_EQ(json["cursor"]["layer"], 3);
  EXPECT_EQ(json["call"]["heads"].size(), 8u);
  EXPECT_TRUE(json["call"]["heads"][2]["recall"].is_number());
  EXPECT_EQ(json["run"]["steps"], 8);
}

TEST_F(InspectCli, SaysWhatThereIsWhereAPlaceIsNotThere) {
  EXPECT_EQ(inspect("--run C"), 2);
  EXPECT_EQ(inspect("--layer 8"), 2);
  EXPECT_EQ(inspect("--view nonsense -o " + file("a.png")), 3);
  EXPECT_EQ(inspect("--view summary"), 2) << "nothing says where to";
  EXPECT_EQ(inspect("--view summary --set loud=on -o " + file("a.png")), 2);
  EXPECT_EQ(inspect("--lock 99,0,0"), 2);
  EXPECT_FALSE(std::filesystem::exists(folder_ / "a.png"));
}

TEST_F(InspectCli, SaysThatTheModelIsMissingWhereAReplayNeedsIt) {
  EXPECT_EQ(inspect("--view qk --lock 1,2,3 --model '" + (folder_ / "nowhere").string() + "' --quiet --data " + file("a.csv")), 3);
  EXPECT_NE(errors().find("Replay is off: this machine does not have the model of this capture, solids-256"), std::string::npos) << errors();
  EXPECT_NE(errors().find("no folder " + (folder_ / "nowhere").string()), std::string::npos) << errors();
  EXPECT_NE(errors().find("--model"), std::string::npos) << errors();
  const std::string other = std::string(DITSCOPE_SOURCE_DIR) + "/tests/golden/cogx_5b_dpm_dynamic_cfg";
  EXPECT_EQ(inspect("--view qk --lock 1,2,3 --model '" + other + "' --quiet --data " + file("a.csv")), 3);
  EXPECT_NE(errors().find("is another one than this capture was made with"), std::string::npos) << errors();
  // A row without the model is that of the map, and says so.
  ASSERT_EQ(inspect("--view rows --lock 1,2,3 --model '" + other + "' --quiet --data " + file("row.csv")), 0) << errors();
  EXPECT_NE(out.find("note: Replay is off"), std::string::npos) << out;
  ASSERT_EQ(inspect("--view rows --lock 1,2,3 --quiet --data " + file("row.csv")), 0) << errors();
  EXPECT_EQ(out.find("note:"), std::string::npos) << out;
  EXPECT_EQ(inspect("--view qk --data " + file("a.csv")), 3);
  EXPECT_NE(errors().find("No token is locked"), std::string::npos) << errors();
  EXPECT_FALSE(std::filesystem::exists(folder_ / "a.csv"));
}

TEST_F(InspectCli, AReplayedSweepIsExactAndQuietSaysNothing) {
  const std::string sweep = "--view qk --run A --lock 1,2,3 --sweep layer --size 240x160 --fps 10 ";
  ASSERT_EQ(inspect(sweep + "-o " + file("off.gif")), 0) << errors();
  ASSERT_EQ(inspect(sweep + "--replay --quiet -o " + file("on.gif")), 0) << errors();
  EXPECT_EQ(errors(), "");
  EXPECT_NE(begin_of("on.gif", 1 << 20), begin_of("off.gif", 1 << 20)) << "bars of q.k instead of the reason why there are none";
  const std::string numbers = "--view qk --run A --lock 1,2,3 --data ";
  ASSERT_EQ(inspect(numbers + file("told.csv")), 0) << errors();
  EXPECT_NE(errors().find("transformer"), std::string::npos) << "what is loaded";
  ASSERT_EQ(inspect(numbers + file("quiet.csv") + " --quiet"), 0) << errors();
  EXPECT_EQ(errors(), "");
  EXPECT_EQ(begin_of("told.csv", 1 << 20), begin_of("quiet.csv", 1 << 20));
}

TEST_F(InspectCli, DiffHoldsTwoCapturesAgainstEachOther) {
  const std::string tour = std::string(DITSCOPE_SOURCE_DIR) + "/resources/captures/tour.ditcap";
  ASSERT_EQ(command("inspect diff '" + tour + "' '" + tour + "' --json"), 0) << errors();
  const Json json = Json::parse(out);
  EXPECT_EQ(json["same_noise"], true);
  EXPECT_EQ(json["steps"].size(), 8u);
  ASSERT_EQ(command("inspect diff '" + tour + "' '" + tour + "'"), 0) << errors();
  EXPECT_FALSE(out.empty());
  EXPECT_EQ(command("inspect diff '" + tour + "' '" + (folder_ / "none.ditcap").string() + "'"), 3);
}

TEST_F(InspectCli, WritesNumbersOfEachKind) {
  for (const char* name : {"a.csv", "a.npz", "a.safetensors"}) {
    ASSERT_EQ(inspect(std::string("--view mask --run B --step 4 --data ") + file(name)), 0) << errors();
    EXPECT_GT(std::filesystem::file_size(folder_ / name), 1000u) << name;
  }
  EXPECT_EQ(begin_of("a.npz", 2), "PK");
  ASSERT_EQ(inspect("--view age --run B --data " + file("a.npy")), 0) << errors();
  EXPECT_EQ(begin_of("a.npy", 6), "\x93NUMPY");
  EXPECT_EQ(inspect("--view mask --run B --data " + file("b.npy")), 2) << "several arrays";
  ASSERT_EQ(inspect("--view summary --sweep head --size 160x120 --fps 10 -o " + file("a.mp4")), 0) << errors();
  EXPECT_EQ(begin_of("a.mp4", 8).substr(4), "ftyp");
}

TEST_F(InspectCli, ListsViewsWithTheirControls) {
  ASSERT_EQ(inspect("--list"), 0);
  EXPECT_NE(out.find("summary"), std::string::npos);
}

}  // namespace
}  // namespace ditscope
