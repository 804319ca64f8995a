// `ditscope-cli attend`: a method on tensors alone, files and messages as documented.
#include <gtest/gtest.h>
#include <sys/wait.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <map>
#include <nlohmann/json.hpp>
#include <random>
#include <string>
#include <vector>

#include "tests/support/temporary_folder.h"

namespace ditscope {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::json;

struct Array {
  std::vector<std::int64_t> shape;
  std::vector<float> values;
};
using Arrays = std::map<std::string, Array>;

void write_safetensors(const fs::path& path, const Arrays& arrays) {
  Json header = Json::object();
  std::size_t offset = 0;
  for (const auto& [name, array] : arrays) {
    header[name] = {{"dtype", "F32"}, {"shape", array.shape}, {"data_offsets", {offset, offset + array.values.size() * 4}}};
    offset += array.values.size() * 4;
  }
  const std::string text = header.dump();
  const std::uint64_t size = text.size();
  std::ofstream file(path, std::ios::binary);
  file.write(reinterpret_cast<const char*>(&size), 8);
  file << text;
  for (const auto& [name, array] : arrays)
    file.write(reinterpret_cast<const char*>(array.values.data()), static_cast<std::streamsize>(array.values.size() * 4));
}

/// The float32 tensors of a file.
Arrays read_safetensors(const fs::path& path) {
  std::ifstream file(path, std::ios::binary);
  std::uint64_t size = 0;
  file.read(reinterpret_cast<char*>(&size), 8);
  std::string text(size, ' ');
  file.read(text.data(), static_cast<std::streamsize>(size));
  Arrays arrays;
  const Json header = Json::parse(text);
  for (const auto& [name, entry] : header.items()) {
    if (name == "__metadata__" || entry.at("dtype") != "F32") continue;
    Array array{entry.at("shape").get<std::vector<std::int64_t>>(), {}};
    const std::size_t begin = entry.at("data_offsets")[0], end = entry.at("data_offsets")[1];
    array.values.resize((end - begin) / 4);
    file.seekg(static_cast<std::streamoff>(8 + size + begin));
    file.read(reinterpret_cast<char*>(array.values.data()), static_cast<std::streamsize>(end - begin));
    arrays[name] = std::move(array);
  }
  return arrays;
}

class Attend : public ::testing::Test {
 protected:
  struct Outcome {
    int exit_code = -1;
    std::string out;
  };
  Outcome cli(const std::string& arguments) const {
    const std::string command = "\"" + std::string(DITSCOPE_CLI) + "\" " + arguments + " 2>/dev/null";
    Outcome outcome;
    FILE* pipe = popen(command.c_str(), "r");
    if (pipe == nullptr) return outcome;
    char buffer[4096];
    for (std::size_t n; (n = fread(buffer, 1, sizeof buffer, pipe)) > 0;) outcome.out.append(buffer, n);
    const int status = pclose(pipe);
    outcome.exit_code = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
    return outcome;
  }
  std::string path(const char* name) const { return (folder_ / name).string(); }

  /// Random q, k, v of S steps.
  Arrays inputs(std::int64_t steps, std::int64_t batch, std::int64_t heads, std::int64_t tokens, std::int64_t width) const {
    std::mt19937 random(5);
    std::normal_distribution<float> normal;
    Arrays arrays;
    for (const char* name : {"q", "k", "v"}) {
      Array& array = arrays[name];
      array.shape = {steps, batch, heads, tokens, width};
      array.values.resize(static_cast<std::size_t>(steps * batch * heads * tokens * width));
      for (float& value : array.values) value = normal(random);
    }
    return arrays;
  }

  test::TemporaryFolder folder_;
};

/// Softmax attention of one (s,b,h) in float64 over the blocks of 64 that `kept` keeps.
double largest_error(const Arrays& in, const Arrays& out, std::int64_t index) {
  const auto& shape = in.at("q").shape;
  const std::int64_t tokens = shape[3], width = shape[4], blocks = (tokens + 63) / 64;
  const float* q = in.at("q").values.data() + index * tokens * width;
  const float* k = in.at("k").values.data() + index * tokens * width;
  const float* v = in.at("v").values.data() + index * tokens * width;
  const float* o = out.at("out").values.data() + index * tokens * width;
  const float* lse = out.at("lse").values.data() + index * tokens;
  const float* kept = out.at("kept").values.data() + index * blocks * blocks;
  double worst = 0;
  for (std::int64_t i = 0; i < tokens; ++i) {
    std::vector<double> weights(static_cast<std::size_t>(tokens), 0);
    double sum = 0;
    for (std::int64_t j = 0; j < tokens; ++j) {
      if (kept[i / 64 * blocks + j / 64] < 0.5f) continue;
      double dot = 0;
      for (std::int64_t c = 0; c < width; ++c) dot += static_cast<double>(q[i * width + c]) * k[j * width + c];
      sum += weights[static_cast<std::size_t>(j)] = std::exp(dot / std::sqrt(static_cast<double>(width)));
    }
    worst = std::max(worst, std::abs(std::log(sum) - lse[i]));
    for (std::int64_t c = 0; c < width; ++c) {
      double value = 0;
      for (std::int64_t j = 0; j < tokens; ++j) value += weights[static_cast<std::size_t>(j)] / sum * v[j * width + c];
      worst = std::max(worst, std::abs(value - o[i * width + c]));
    }
  }
  return worst;
}

TEST_F(Attend, WritesOutputLogSumExpAndKeptBlocksOfAdaSpa) {
  const Arrays in = inputs(4, 2, 3, 2 * 16 * 10 + 20, 8);
  write_safetensors(path("in.safetensors"), in);
  const Outcome outcome = cli("attend --tensors " + path("in.safetensors") +
                              " --method adaspa:kept_ratio=0.4,search_steps=9/11 --grid 2,16,10 --text-tokens 20 --text-last --branches 2"
                              " --first-step 8 --total-steps 30 --threads 1 --json --out " + path("out.safetensors"));
  ASSERT_EQ(outcome.exit_code, 0) << outcome.out;
  const Json json = Json::parse(outcome.out);
  EXPECT_EQ(json.at("shape"), Json({4, 2, 3, 340, 8}));
  EXPECT_EQ(json.at("parameters").at("kept_ratio"), 0.4);
  const char* kinds[] = {"full", "search", "sparse", "search"};
  for (int s = 0; s < 4; ++s) {
    const Json& step = json.at("steps")[s];
    EXPECT_EQ(step.at("step"), 8 + s);
    EXPECT_EQ(step.at("kind"), kinds[s]);
    EXPECT_EQ(step.at("recall").size(), 2u);
    EXPECT_EQ(step.at("recall")[0].size(), 3u);
    EXPECT_EQ(step.at("recall")[0][0].get<double>() == 1, s < 2);
  }
  const Arrays out = read_safetensors(path("out.safetensors"));
  EXPECT_EQ(out.at("out").shape, in.at("q").shape);
  EXPECT_EQ(out.at("lse").shape, (std::vector<std::int64_t>{4, 2, 3, 340}));
  EXPECT_EQ(out.at("kept").shape, (std::vector<std::int64_t>{4, 2, 3, 6, 6}));
  for (std::int64_t index = 0; index < 4 * 2 * 3; ++index) EXPECT_LT(largest_error(in, out, index), 1e-4) << index;
  const float* sparse = out.at("kept").values.data() + (2 * 2 * 3) * 36;
  EXPECT_TRUE(std::all_of(sparse, sparse + 36 * 6, [](float kept) { return kept == 0 || kept == 1; }));
  EXPECT_NE(std::count(sparse, sparse + 36, 0.0f), 0);
}

TEST_F(Attend, WritesACaptureThatTheInspectorReads) {
  write_safetensors(path("in.safetensors"), inputs(2, 1, 2, 2 * 8 * 16 + 5, 8));
  const Outcome outcome = cli("attend --tensors " + path("in.safetensors") + " --method window:kept_ratio=0.2 --grid 2,8,16 --text-tokens 5" +
                              " --layer 1 --layers 3 --threads 1 --capture " + path("run.ditcap"));
  ASSERT_EQ(outcome.exit_code, 0) << outcome.out;
  const Json summary = Json::parse(cli("inspect --json --summary " + path("run.ditcap")).out);
  EXPECT_NE(summary.dump().find("in.safetensors"), std::string::npos) << summary.dump(2);
  const Outcome mask = cli("inspect " + path("run.ditcap") + " --view mask --data " + path("mask.csv"));
  EXPECT_EQ(mask.exit_code, 0) << "the cursor starts at the layer that there is\n" << mask.out;
}

TEST_F(Attend, RunsEveryMethodAndComposition) {
  write_safetensors(path("in.safetensors"), inputs(3, 1, 2, 2 * 8 * 16 + 5, 8));
  const Json methods = Json::parse(cli("methods --json").out);
  std::vector<std::string> keys{"adaspa+re-ttention", "svg+delta", "rectified-spaattn+none", "window+rectified"};
  for (const Json& method : methods.at("methods")) keys.push_back(method.at("key"));
  for (const std::string& key : keys) {
    const Outcome outcome = cli("attend --tensors " + path("in.safetensors") + " --method " + key +
                                " --grid 2,8,16 --text-tokens 5 --first-step 27 --total-steps 30 --threads 1 --json --out " + path("out.safetensors"));
    ASSERT_EQ(outcome.exit_code, 0) << key << outcome.out;
    EXPECT_EQ(Json::parse(outcome.out).at("method"), key);
    const Arrays out = read_safetensors(path("out.safetensors"));
    EXPECT_TRUE(std::all_of(out.at("out").values.begin(), out.at("out").values.end(), [](float x) { return std::isfinite(x); })) << key;
  }
}

TEST_F(Attend, SaysWhatIsWrongWithItsInput) {
  Arrays good = inputs(2, 2, 1, 12, 4);
  write_safetensors(path("good.safetensors"), good);
  Arrays bad = good;
  bad["k"].values[3] = NAN;
  write_safetensors(path("nan.safetensors"), bad);
  bad = good;
  bad.erase("v");
  write_safetensors(path("missing.safetensors"), bad);
  bad = good;
  bad["v"].shape = {2, 2, 1, 6, 8};
  write_safetensors(path("shapes.safetensors"), bad);
  bad = good;
  for (auto& [name, array] : bad) array.shape = {4, 12, 4};
  write_safetensors(path("rank.safetensors"), bad);
  std::ofstream(path("junk.safetensors")) << "junk";
  const struct {
    const char *file, *options;
    int exit_code;
    const char* word;
  } cases[] = {{"good", "--grid 1,3,5", 2, "12 tokens"},
               {"good", "--grid 1,3,4 --text-tokens -1", 2, "text tokens"},
               {"good", "--grid 0,3,4", 2, "grid"},
               {"good", "--grid 1,12", 2, ""},
               {"good", "--grid 1,3,4 --branches 3", 2, "--branches"},
               {"good", "--grid 1,3,4 --branches uncond", 2, "--branches"},
               {"good", "--grid 1,3,4 --text-first --text-last", 2, "both"},
               {"good", "--grid 1,3,4 --first-step 5 --total-steps 6", 2, "at least 7 steps"},
               {"good", "--grid 1,3,4 --layer 2 --layers 2", 2, "a layer from 0 to 1"},
               {"good", "--grid 1,3,4 --method windw", 3, "did you mean window"},
               {"good", "--grid 1,3,4 --method adaspa+retention", 3, "re-ttention"},
               {"good", "--grid 1,3,4 --method full+delta", 2, "skips something"},
               {"good", "--grid 1,3,4 --method full+teacache", 2, "without a step cache"},
               {"good", "--grid 1,3,4 --method adaspa:search_steps=30/10", 2, "ascending"},
               {"good", "--grid 1,3,4 --method window:kept_ratio=0.5,kept_ratio=0.2", 2, "once"},
               {"good", "--grid 1,3,4 --threads 100000", 2, "from 1 to 1024"},
               {"good", "--grid 1,3,4 --scale 0", 2, "above 0"},
               {"good", "--grid 1,3,4 --first-step 2147483647", 2, "a first step from 0 to"},
               {"good", "--grid 1,3,4 --scale 1e30", 2, "float32 can hold"},
               {"nan", "--grid 1,3,4", 2, "finite"},
               {"missing", "--grid 1,3,4", 2, "q, k and v"},
               {"shapes", "--grid 1,3,4", 2, "shape of q"},
               {"rank", "--grid 1,3,4", 2, "five dimensions"},
               {"junk", "--grid 1,3,4", 4, "junk"},
               {"nowhere", "--grid 1,3,4", 3, "nowhere"}};
  for (const auto& c : cases) {
    const Outcome outcome = cli("attend --json --tensors " + path((std::string(c.file) + ".safetensors").c_str()) + " " + c.options);
    EXPECT_EQ(outcome.exit_code, c.exit_code) << c.file << " " << c.options << outcome.out;
    EXPECT_NE(outcome.out.find(c.word), std::string::npos) << c.file << " " << c.options << outcome.out;
    EXPECT_NE(outcome.out.find("\"error\""), std::string::npos);
  }
}

TEST_F(Attend, HelpHasExamplesAndExitCodes) {
  const Outcome help = cli("attend --help");
  EXPECT_EQ(help.exit_code, 0);
  EXPECT_NE(help.out.find("ditscope-cli attend --tensors"), std::string::npos);
  EXPECT_NE(help.out.find("130 stopped"), std::string::npos);
}

TEST_F(Attend, EveryMethodMakesAVideoWithTheTinyModel) {
  const Json methods = Json::parse(cli("methods --json").out);
  std::vector<std::string> keys{"adaspa+re-ttention"};
  for (const Json& method : methods.at("methods")) keys.push_back(method.at("key"));
  for (const Json& cache : methods.at("step_caches")) keys.push_back("re-ttention+" + cache.at("key").get<std::string>());
  for (const std::string& key : keys) {
    const Outcome outcome = cli("generate --model '" + std::string(DITSCOPE_SOURCE_DIR) + "/tests/golden/cogx_5b_ddim' --prompt cat --steps 4 --frames 5"
                                " --width 64 --height 48 --threads 1 --device cpu --json --quiet --method " + key + " -o " + path("a.gif"));
    ASSERT_EQ(outcome.exit_code, 0) << key << outcome.out;
    EXPECT_EQ(Json::parse(outcome.out).at("runs")[0].at("method"), key);
  }
}

}  // namespace
}  // namespace ditscope
