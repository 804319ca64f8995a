// ditscope-cli as a program: exit codes, JSON on stdout, files written, Ctrl-C. Every test starts the real binary on a tiny
// model.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <string>
#include <thread>
#include <vector>

#include "core/media/media_reader.h"
#include "tests/support/temporary_folder.h"

extern char** environ;

namespace ditscope {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::json;
using Arguments = std::vector<std::string>;

const fs::path kModel = fs::path(DITSCOPE_SOURCE_DIR) / "tests/golden/cogx_5b_ddim";

struct Outcome {
  int exit_code = -1;
  std::string out, err;
  Json json() const { return Json::parse(out); }
};

std::string read_file(const fs::path& path) {
  std::ifstream stream(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(stream), {}};
}

class Cli : public ::testing::Test {
 protected:
  pid_t start(Arguments arguments) {
    arguments.insert(arguments.begin(), DITSCOPE_CLI);
    std::vector<char*> raw;
    for (std::string& argument : arguments) raw.push_back(argument.data());
    raw.push_back(nullptr);
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_addopen(&actions, 1, (folder_ / "stdout").c_str(), O_CREAT | O_WRONLY | O_TRUNC, 0600);
    posix_spawn_file_actions_addopen(&actions, 2, (folder_ / "stderr").c_str(), O_CREAT | O_WRONLY | O_TRUNC, 0600);
    pid_t child = 0;
    EXPECT_EQ(posix_spawn(&child, DITSCOPE_CLI, &actions, nullptr, raw.data(), environ), 0);
    posix_spawn_file_actions_destroy(&actions);
    return child;
  }
  Outcome finish(pid_t child) {
    int status = 0;
    waitpid(child, &status, 0);
    return {WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status), read_file(folder_ / "stdout"),
            read_file(folder_ / "stderr")};
  }
  Outcome cli(const Arguments& arguments) { return finish(start(arguments)); }

  /// A command on the tiny model, small enough to take no time.
  Arguments tiny(const std::string& command, const Arguments& more = {}) const {
    Arguments arguments{
        command,   "--model", kModel.string(), "--prompt", "a small red cat", "--steps", "4",        "--frames", "5",
        "--width", "64",      "--height",      "48",       "--threads",       "1",       "--device", "cpu"};
    arguments.insert(arguments.end(), more.begin(), more.end());
    return arguments;
  }
  std::string in_folder(const std::string& name) const { return (folder_ / name).string(); }

  test::TemporaryFolder folder_;
};

TEST_F(Cli, HelpOfEveryCommandHasExamplesAndExitCodes) {
  EXPECT_EQ(cli({"--help"}).exit_code, 0);
  for (const char* command : {"generate", "compare", "models", "methods", "schedulers"}) {
    const Outcome help = cli({command, "--help"});
    EXPECT_EQ(help.exit_code, 0);
    EXPECT_NE(help.out.find("ditscope-cli " + std::string(command)), std::string::npos) << command;
    EXPECT_NE(help.out.find("130 stopped"), std::string::npos) << command;
  }
}

TEST_F(Cli, VersionGoesToStdout) {
  const Outcome version = cli({"--version"});
  EXPECT_EQ(version.exit_code, 0);
  EXPECT_EQ(version.out.rfind("ditscope-cli ", 0), 0u);
}

TEST_F(Cli, WrongUsageExitsWithTwo) {
  EXPECT_EQ(cli({}).exit_code, 2);
  EXPECT_EQ(cli({"generat"}).exit_code, 2);
  EXPECT_EQ(cli({"generate", "--no-such-option"}).exit_code, 2);
  EXPECT_EQ(cli({"generate", "--steps", "many"}).exit_code, 2);
  EXPECT_EQ(cli({"generate", "--steps", "-3"}).exit_code, 2);
  EXPECT_EQ(cli(tiny("generate", {"--prompts-file", "x"})).exit_code, 2);
}

TEST_F(Cli, EachKindOfErrorHasItsExitCodeAndJson) {
  struct Case {
    Arguments arguments;
    int exit_code;
    const char* kind;
    const char* word;
  };
  fs::create_directories(folder_ / "empty");
  std::ofstream(folder_ / "plain") << "x";
  const std::vector<Case> cases{
      {{"generate", "--model", kModel.string(), "--prompt", "a", "--width", "70"}, 2, "invalid argument", "64 or 80"},
      {{"generate", "--model", kModel.string(), "--prompt", "a", "--frames", "11"}, 2, "invalid argument", "9 or 13"},
      {tiny("generate", {"--dtype", "float"}), 2, "invalid argument", "float32"},
      {tiny("generate", {"-o", in_folder("a.avi")}), 2, "invalid argument", ".mp4"},
      {{"generate", "--model", kModel.string(), "--prompt", ""}, 2, "invalid argument", "empty"},
      {{"generate", "--model", kModel.string(), "--prompt", "\xff"}, 2, "invalid argument", "UTF-8"},
      {tiny("generate", {"--method", "re-tention"}), 3, "not found", "re-ttention"},
      {tiny("generate", {"--method", "re-ttention:kept=1"}), 3, "not found", "kept_ratio"},
      {tiny("generate", {"--method", "re-ttention:kept_ratio=9"}), 2, "invalid argument", "kept_ratio"},
      {tiny("generate", {"--scheduler", "DDIM"}), 3, "not found", "CogVideoXDDIMScheduler"},
      {{"generate", "--model", in_folder("nowhere"), "--prompt", "a"}, 3, "not found", "nowhere"},
      {{"models", in_folder("empty")}, 3, "not found", "model_index.json"},
      {tiny("generate", {"--latents-in", in_folder("nowhere")}), 3, "not found", "nowhere"},
      {tiny("generate", {"--latents-in", in_folder("plain")}), 4, "corrupt", "plain"},
      {tiny("generate", {"-o", in_folder("plain") + "/a.mp4"}), 7, "device", "plain"},
      {{"methods", "windw"}, 3, "not found", "window"},
  };
  for (Case c : cases) {
    c.arguments.push_back("--json");
    const Outcome outcome = cli(c.arguments);
    EXPECT_EQ(outcome.exit_code, c.exit_code) << c.word << ": " << outcome.err;
    const Json error = outcome.json().at("error");
    EXPECT_EQ(error.at("kind"), c.kind);
    EXPECT_NE(error.at("message").get<std::string>().find(c.word), std::string::npos) << error;
    EXPECT_NE(outcome.err.find("error"), std::string::npos);
  }
}

TEST_F(Cli, GenerateWritesTheVideoAndTheDocumentedJson) {
  const Outcome outcome =
      cli(tiny("generate", {"--method", "re-ttention:kept_ratio=0.25", "--seed", "7", "--json", "-o", in_folder("a.mp4")}));
  ASSERT_EQ(outcome.exit_code, 0) << outcome.err;
  const Json json = outcome.json();
  EXPECT_EQ(json.at("seed"), 7);
  EXPECT_EQ(json.at("model"), kModel.string());
  EXPECT_TRUE(json.at("versions").contains("ditscope"));
  EXPECT_TRUE(json.at("versions").contains("libtorch"));
  ASSERT_EQ(json.at("runs").size(), 1u);
  const Json& run = json.at("runs")[0];
  EXPECT_EQ(run.at("method"), "re-ttention");
  EXPECT_EQ(run.at("parameters").at("kept_ratio"), 0.25);
  EXPECT_GT(run.at("seconds").get<double>(), 0);
  EXPECT_GT(run.at("attention_seconds").get<double>(), 0);
  for (const char* stage : {"text", "denoise", "decode", "load"}) EXPECT_TRUE(run.at("stages").contains(stage)) << stage;
  EXPECT_EQ(run.at("steps").size(), 4u);
  EXPECT_EQ(run.at("steps")[0].at("kind"), "full");
  for (const char* ratio : {"requested", "achieved", "schedule_average"})
    EXPECT_TRUE(run.at("kept_ratio").at(ratio).is_number()) << ratio;
  EXPECT_GT(run.at("peak_bytes").get<std::int64_t>(), 0);
  EXPECT_TRUE(run.at("psnr_db").is_null());
  EXPECT_TRUE(run.at("ssim").is_null());
  EXPECT_EQ(run.at("output"), in_folder("a.mp4"));
  const Media video = read_media(folder_ / "a.mp4");
  EXPECT_EQ(video.frames.width, 64);
  EXPECT_EQ(Json::parse(video.parameters_json).at("prompt"), "a small red cat");
}

TEST_F(Cli, GenerateWritesWhatItsEndingSays) {
  for (const char* name : {"a.gif", "a.png"}) {
    ASSERT_EQ(cli(tiny("generate", {"-o", in_folder(name)})).exit_code, 0) << name;
    EXPECT_EQ(read_media(folder_ / name).frames.height, 48) << name;
  }
  ASSERT_EQ(cli(tiny("generate", {"-o", in_folder("frames")})).exit_code, 0);
  EXPECT_TRUE(fs::exists(folder_ / "frames/frame_0000.png"));
}

TEST_F(Cli, TensorsAreWrittenWhereAsked) {
  const Outcome outcome =
      cli(tiny("generate", {"--latents-out", in_folder("l.safetensors"), "--prompt-embeds-out", in_folder("p.safetensors"),
                            "--frames-out", in_folder("f.safetensors"), "-o", in_folder("a.png")}));
  ASSERT_EQ(outcome.exit_code, 0) << outcome.err;
  const auto header = [&](const char* name) {
    const std::string bytes = read_file(folder_ / name);
    std::uint64_t length = 0;
    std::copy_n(bytes.data(), 8, reinterpret_cast<char*>(&length));
    return Json::parse(bytes.substr(8, length));
  };
  EXPECT_EQ(header("l.safetensors").at("latents").at("shape"), Json({1, 2, 4, 6, 8}));
  EXPECT_EQ(header("l.safetensors").at("latents_per_step").at("shape"), Json({4, 1, 2, 4, 6, 8}));
  EXPECT_TRUE(header("p.safetensors").contains("prompt_embeds"));
  EXPECT_TRUE(header("p.safetensors").contains("negative_prompt_embeds"));
  EXPECT_EQ(header("f.safetensors").at("frames").at("shape"), Json({8, 3, 48, 64}));
  EXPECT_EQ(header("f.safetensors").at("frames").at("dtype"), "F32");
}

TEST_F(Cli, LatentsOfARunStartAnother) {
  ASSERT_EQ(cli(tiny("generate", {"--latents-out", in_folder("l.safetensors"), "-o", in_folder("a.png")})).exit_code, 0);
  const Outcome outcome = cli(tiny("generate", {"--latents-in", in_folder("l.safetensors"), "-o", in_folder("b.png"), "--json"}));
  EXPECT_EQ(outcome.exit_code, 0) << outcome.err;
}

TEST_F(Cli, CompareMeasuresAgainstTheFirstAndWritesSideBySide) {
  const Outcome outcome =
      cli(tiny("compare", {"--methods", "full; window:kept_ratio=0.1 ;full", "--json", "-o", in_folder("all")}));
  ASSERT_EQ(outcome.exit_code, 0) << outcome.err;
  const Json json = outcome.json();
  ASSERT_EQ(json.at("runs").size(), 3u);
  EXPECT_TRUE(json.at("runs")[0].at("psnr_db").is_null());
  EXPECT_LT(json.at("runs")[1].at("psnr_db").get<double>(), 100);
  EXPECT_DOUBLE_EQ(json.at("runs")[2].at("psnr_db").get<double>(), 100);
  EXPECT_NEAR(json.at("runs")[2].at("ssim").get<double>(), 1, 1e-9);
  EXPECT_TRUE(json.at("recipes").contains("psnr_db"));
  for (const Json& run : json.at("runs")) EXPECT_TRUE(fs::exists(run.at("output").get<std::string>()));
  EXPECT_GT(read_media(json.at("side_by_side").get<std::string>()).frames.width, 3 * 64);
}

TEST_F(Cli, AFailingPromptDoesNotLoseTheOthers) {
  std::ofstream(folder_ / "prompts.txt", std::ios::binary) << "a red cat\r\n\n\xff\xfe broken\na blue ship\n";
  Arguments arguments{"generate",
                      "--model",
                      kModel.string(),
                      "--prompts-file",
                      in_folder("prompts.txt"),
                      "--steps",
                      "2",
                      "--frames",
                      "1",
                      "--width",
                      "64",
                      "--height",
                      "48",
                      "--json",
                      "-o",
                      in_folder("videos")};
  const Outcome outcome = cli(arguments);
  EXPECT_EQ(outcome.exit_code, 2) << "that of the first failure";
  const Json json = outcome.json();
  ASSERT_EQ(json.at("runs").size(), 2u);
  EXPECT_EQ(json.at("runs")[0].at("prompt"), "a red cat");
  EXPECT_EQ(json.at("runs")[1].at("prompt"), "a blue ship");
  EXPECT_EQ(json.at("runs")[1].at("prompt_index"), 2);
  ASSERT_EQ(json.at("errors").size(), 1u);
  EXPECT_EQ(json.at("errors")[0].at("prompt_index"), 1);
  EXPECT_TRUE(fs::exists(folder_ / "videos/001.mp4"));
  EXPECT_TRUE(fs::exists(folder_ / "videos/003.mp4"));
}

TEST_F(Cli, CtrlCStopsTheRunKeepsItsLatentsAndExitsWith130) {
  Arguments arguments = tiny("generate", {"--latents-out", in_folder("l.safetensors"), "--json", "-o", in_folder("a.mp4")});
  *std::find(arguments.begin(), arguments.end(), "4") = "900";
  const pid_t child = start(arguments);
  while (read_file(folder_ / "stderr").find("step 3 of") == std::string::npos) {
    siginfo_t ended{};
    ASSERT_EQ(waitid(P_PID, static_cast<id_t>(child), &ended, WEXITED | WNOHANG | WNOWAIT), 0);
    ASSERT_EQ(ended.si_pid, 0) << "it ended by itself: " << finish(child).err;
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
  }
  kill(child, SIGINT);
  const Outcome outcome = finish(child);
  EXPECT_EQ(outcome.exit_code, 130) << outcome.err;
  const Json run = outcome.json().at("runs")[0];
  EXPECT_TRUE(run.at("stopped"));
  EXPECT_TRUE(run.at("output").is_null());
  EXPECT_GE(run.at("steps").size(), 2u);
  EXPECT_LT(run.at("steps").size(), 900u) << "it stopped where it was, however long a busy machine took to tell it";
  EXPECT_TRUE(fs::exists(folder_ / "l.safetensors"));
  EXPECT_FALSE(fs::exists(folder_ / "a.mp4"));
}

TEST_F(Cli, ListingsAreMachineReadable) {
  const Json methods = cli({"methods", "--json"}).json().at("methods");
  EXPECT_TRUE(std::any_of(methods.begin(), methods.end(), [](const Json& method) { return method.at("key") == "re-ttention"; }));
  EXPECT_EQ(cli({"methods", "re-ttention", "--json"}).json().at("methods").size(), 1u);
  const Json schedulers = cli({"schedulers", "--json"}).json().at("schedulers");
  EXPECT_EQ(schedulers.size(), 2u);
  const Json models = cli({"models", kModel.string(), "--json"}).json().at("models");
  EXPECT_EQ(models[0].at("family"), "CogVideoX");
  EXPECT_EQ(models[0].at("size_multiple"), 16);
}

}  // namespace
}  // namespace ditscope
