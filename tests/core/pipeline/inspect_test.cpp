#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

#include "core/pipeline/generator.h"
#include "kernels/error.h"
#include "tests/support/temporary_folder.h"

namespace ditscope {
namespace {

namespace fs = std::filesystem;

class Inspect : public ::testing::Test {
 protected:
  Inspect() {
    fs::copy(fs::path(DITSCOPE_SOURCE_DIR) / "tests/golden/cogx_5b_ddim", folder_ / "model", fs::copy_options::recursive);
  }

  void write(const char* file, const std::string& text) { std::ofstream(folder_ / "model" / file) << text; }
  std::string read(const char* file) {
    std::ifstream stream(folder_ / "model" / file);
    return {std::istreambuf_iterator<char>(stream), {}};
  }
  void replace(const char* file, const std::string& from, const std::string& to) {
    std::string text = read(file);
    const auto at = text.find(from);
    ASSERT_NE(at, std::string::npos) << from;
    write(file, text.replace(at, from.size(), to));
  }
  void expect_refused(ErrorKind kind, const char* word) {
    try {
      Generator::inspect(folder_ / "model");
      ADD_FAILURE() << "was accepted";
    } catch (const Error& error) {
      EXPECT_EQ(error.kind(), kind) << error.what();
      EXPECT_NE(std::string(error.what()).find(word), std::string::npos) << error.what();
    }
  }

  test::TemporaryFolder folder_;
};

TEST_F(Inspect, ReadsSizesFromTheConfigs) {
  const ModelInfo info = Generator::inspect(folder_ / "model");
  EXPECT_EQ(info.family, "CogVideoX");
  EXPECT_EQ(info.default_scheduler, "CogVideoXDDIMScheduler");
  EXPECT_EQ(info.size_multiple, 16);
  EXPECT_EQ(info.frame_multiple, 4);
  EXPECT_FALSE(info.bundled);
  EXPECT_FALSE(info.sizes.empty());
  EXPECT_FALSE(info.frame_counts.empty());
  EXPECT_FALSE(info.example_prompt.empty());
  EXPECT_GT(info.parameters, 1000);
  EXPECT_GE(info.weight_bytes, info.parameters * 2);
}

TEST_F(Inspect, TakesRecommendationsFromDitscopeJson) {
  write("ditscope.json",
        R"({"display_name":"tiny","default_steps":7,"default_guidance":2.5,"default_frames":5,"default_height":32,
                             "default_width":48,"fps":12,"example_prompt":"a cat","sizes":[[48,32]],"frame_counts":[1,5]})");
  const ModelInfo info = Generator::inspect(folder_ / "model");
  EXPECT_EQ(info.name, "tiny");
  EXPECT_EQ(info.default_steps, 7);
  EXPECT_EQ(info.default_guidance, 2.5);
  EXPECT_EQ(info.default_frames, 5);
  EXPECT_EQ(info.fps, 12);
  EXPECT_EQ(info.example_prompt, "a cat");
  EXPECT_EQ(info.sizes, (std::vector<std::pair<int, int>>{{48, 32}}));
  EXPECT_EQ(info.frame_counts, (std::vector<int>{1, 5}));
  write("ditscope.json", R"({"default_steps":"seven"})");
  expect_refused(ErrorKind::Corrupt, "default_steps");
  write("ditscope.json", "[]");
  expect_refused(ErrorKind::Corrupt, "object");
}

TEST_F(Inspect, NamesClassesThatItCannotRun) {
  replace("model_index.json", "CogVideoXPipeline", "WanPipeline");
  expect_refused(ErrorKind::Unsupported, "WanPipeline");
}

TEST_F(Inspect, NamesAComponentOfAnotherClass) {
  replace("model_index.json", "AutoencoderKLCogVideoX", "AutoencoderKLWan");
  expect_refused(ErrorKind::Unsupported, "AutoencoderKLWan");
}

TEST_F(Inspect, NoticesPartsThatDoNotBelongTogether) {
  replace("vae/config.json", "\"latent_channels\": 4", "\"latent_channels\": 8");
  expect_refused(ErrorKind::Corrupt, "different models");
}

TEST_F(Inspect, RefusesNumbersThatNoModelHas) {
  const std::string good = read("transformer/config.json");
  for (const char* key : {"num_layers", "num_attention_heads", "attention_head_dim", "patch_size", "sample_width",
                          "sample_height", "sample_frames", "max_text_seq_length"}) {
    for (const char* value : {"0", "-1", "536870912", "2147483647", "99999999999", "1.5", "null", "\"2\"", "[]"}) {
      std::string text = good;
      const auto begin = text.find("\"" + std::string(key) + "\"");
      ASSERT_NE(begin, std::string::npos) << key;
      const auto colon = text.find(':', begin);
      text.replace(colon + 1, text.find_first_of(",\n}", colon) - colon - 1, value);
      write("transformer/config.json", text);
      EXPECT_THROW(Generator::inspect(folder_ / "model"), Error) << key << " = " << value;
    }
  }
}

TEST_F(Inspect, NamesAMissingFile) {
  fs::remove(folder_ / "model/vae/diffusion_pytorch_model.safetensors");
  expect_refused(ErrorKind::NotFound, "vae");
}

}  // namespace
}  // namespace ditscope
