#include <gtest/gtest.h>
#include <ATen/ATen.h>
#include <c10/core/GradMode.h>
#include <c10/core/InferenceMode.h>

#include <filesystem>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "core/checkpoint/json_file.h"
#include "core/checkpoint/safetensors.h"
#include "core/vae/cogvideox_vae.h"
#include "kernels/error.h"

namespace ditscope {
namespace {

namespace fs = std::filesystem;

/// The weights of one golden model; remembers what was asked for.
class GoldenWeights : public WeightSource {
 public:
  explicit GoldenWeights(TensorMap tensors) : tensors_(std::move(tensors)) {}
  at::Tensor take(const std::string& key, at::IntArrayRef shape) override {
    EXPECT_TRUE(taken_.insert(key).second) << key << " is taken twice";
    const at::Tensor& weight = tensors_.at(key);
    EXPECT_EQ(weight.sizes(), shape) << key;
    return weight;
  }
  bool has(const std::string& key) const override { return tensors_.count(key) > 0; }
  std::vector<std::string> left_over() const {
    std::vector<std::string> keys;
    for (const auto& [key, tensor] : tensors_) {
      if (!taken_.count(key)) keys.push_back(key);
    }
    return keys;
  }
  const TensorMap& tensors() const { return tensors_; }

 private:
  TensorMap tensors_;
  std::set<std::string> taken_;
};

struct Golden {
  fs::path folder;
  CogVideoXVaeConfig config;
  GoldenWeights weights;
  TensorMap io;

  explicit Golden(const std::string& name, at::ScalarType dtype = at::kFloat)
      : folder(fs::path(DITSCOPE_SOURCE_DIR) / "tests/golden" / name),
        config(CogVideoXVaeConfig::from_json(read_file(folder / "config.json"))),
        weights(converted(load_tensors(folder / "diffusion_pytorch_model.safetensors"), dtype)),
        io(load_tensors(folder / "io.safetensors")) {}

  static TensorMap converted(TensorMap tensors, at::ScalarType dtype) {
    for (auto& [key, tensor] : tensors) tensor = tensor.to(dtype).clone();
    return tensors;
  }
};

double max_relative_error(const at::Tensor& got, const at::Tensor& expected) {
  EXPECT_EQ(got.sizes(), expected.sizes());
  return (got.to(at::kDouble) - expected.to(at::kDouble)).abs().max().item<double>() /
         expected.to(at::kDouble).abs().max().item<double>();
}

double relative_rms(const at::Tensor& got, const at::Tensor& expected) {
  return ((got.to(at::kDouble) - expected.to(at::kDouble)).norm() / expected.to(at::kDouble).norm()).item<double>();
}

class CogVideoXVaeGolden : public testing::TestWithParam<std::string> {};

TEST_P(CogVideoXVaeGolden, DecodesAnyNumberOfLatentsAsDiffusersDoes) {
  Golden golden(GetParam());
  const CogVideoXVae vae(golden.config, golden.weights, true);
  for (const bool inference : {false, true}) {
    const c10::InferenceMode mode(inference);
    for (const int frames : {1, 2, 3, 4, 5}) {
      const at::Tensor got = vae.decode(golden.io.at("latents").narrow(2, 0, frames));
      EXPECT_LT(max_relative_error(got, golden.io.at("decoded_" + std::to_string(frames))), 1e-5)
          << frames << " latents, inference mode " << inference;
    }
  }
}

TEST_P(CogVideoXVaeGolden, EncodesAnyNumberOfFramesAsDiffusersDoes) {
  Golden golden(GetParam());
  const CogVideoXVae vae(golden.config, golden.weights, true);
  for (const bool inference : {false, true}) {
    const c10::InferenceMode mode(inference);
    for (const int frames : {1, 5, 9, 17}) {
      const at::Tensor got = vae.encode_moments(golden.io.at("video").narrow(2, 0, frames));
      EXPECT_LT(max_relative_error(got, golden.io.at("moments_" + std::to_string(frames))), 1e-5)
          << frames << " frames, inference mode " << inference;
    }
  }
}

TEST_P(CogVideoXVaeGolden, TakesEveryWeightOnce) {
  Golden golden(GetParam());
  const CogVideoXVae vae(golden.config, golden.weights, true);
  EXPECT_EQ(golden.weights.left_over(), std::vector<std::string>{});
}

TEST_P(CogVideoXVaeGolden, ReducedPrecisionStaysNearFloat32) {
  for (const auto dtype : {at::kBFloat16, at::kHalf}) {
    Golden golden(GetParam(), dtype);
    const CogVideoXVae vae(golden.config, golden.weights, true);
    const c10::InferenceMode mode;
    const at::Tensor video = vae.decode(golden.io.at("latents"));
    EXPECT_EQ(video.scalar_type(), dtype);
    EXPECT_LT(relative_rms(video, golden.io.at("decoded_5")), dtype == at::kHalf ? 0.01 : 0.05);
    const at::Tensor moments = vae.encode_moments(golden.io.at("video"));
    EXPECT_LT(relative_rms(moments, golden.io.at("moments_17")), dtype == at::kHalf ? 0.01 : 0.05);
  }
}

TEST_P(CogVideoXVaeGolden, ABatchIsItsVideosOneByOne) {
  Golden golden(GetParam());
  const CogVideoXVae vae(golden.config, golden.weights, true);
  const c10::InferenceMode mode;
  const at::Tensor latents = golden.io.at("latents");
  const at::Tensor pair = vae.decode(at::cat({latents, latents.flip(2)}));
  EXPECT_LT(max_relative_error(pair.narrow(0, 0, 1), golden.io.at("decoded_5")), 1e-5);
  EXPECT_LT(max_relative_error(pair.narrow(0, 1, 1), vae.decode(latents.flip(2))), 1e-5);
}

INSTANTIATE_TEST_SUITE_P(Models, CogVideoXVaeGolden, testing::Values("vae_four_blocks", "vae_three_blocks", "vae_quant_convs"),
                         [](const auto& info) { return info.param.substr(4); });

TEST(CogVideoXVae, BlendsTilesAsDiffusersDoes) {
  Golden golden("vae_three_blocks");
  CogVideoXVae vae(golden.config, golden.weights, false);
  const at::Tensor latents = golden.io.at("tiled_latents"), expected = golden.io.at("tiled_decoded");
  const double untiled_error = max_relative_error(vae.decode(latents), expected);
  vae.set_tiling(vae.default_tiling());
  for (const bool inference : {false, true}) {
    const c10::InferenceMode mode(inference);
    EXPECT_LT(max_relative_error(vae.decode(latents), expected), 1e-5);
  }
  EXPECT_GT(untiled_error, 1e-2) << "the golden does not tell tiles from none";
}

TEST(CogVideoXVae, TilesOfAnySizeGiveAVideoOfTheSameShape) {
  Golden golden("vae_three_blocks");
  CogVideoXVae vae(golden.config, golden.weights, false);
  const c10::InferenceMode mode;
  const at::Tensor latents = golden.io.at("tiled_latents");
  const auto shape = vae.decode(latents).sizes().vec();
  for (const int64_t tile : {8, 9, 12, 17, 20, 27}) {
    vae.set_tiling(CogVideoXVae::Tiling{tile, tile});
    EXPECT_EQ(vae.decode(latents).sizes().vec(), shape) << tile << " px";
  }
  vae.set_tiling(CogVideoXVae::Tiling{3, 3});
  EXPECT_THROW(vae.decode(latents), Error);
}

TEST(CogVideoXVae, WithoutItsEncoderItTakesNoneOfItsWeightsAndRefusesToEncode) {
  Golden golden("vae_quant_convs");
  const CogVideoXVae vae(golden.config, golden.weights, false);
  for (const std::string& key : golden.weights.left_over()) {
    EXPECT_TRUE(key.starts_with("encoder.") || key.starts_with("quant_conv.")) << key;
  }
  EXPECT_FALSE(golden.weights.left_over().empty());
  EXPECT_THROW(vae.encode_moments(golden.io.at("video")), Error);
}

TEST(CogVideoXVae, ProgressCountsChunksAndStopsTheDecode) {
  Golden golden("vae_three_blocks");
  CogVideoXVae vae(golden.config, golden.weights, false);
  std::vector<std::pair<int, int>> calls;
  const auto record = [&](int done, int total) { return calls.emplace_back(done, total), false; };
  vae.decode(golden.io.at("latents"), record);  // 5 latents: a chunk of 3, one of 2
  EXPECT_EQ(calls, (std::vector<std::pair<int, int>>{{1, 2}, {2, 2}}));
  calls.clear();
  vae.set_tiling(vae.default_tiling());
  vae.decode(golden.io.at("tiled_latents"), record);  // 2 x 2 tiles, one chunk each
  EXPECT_EQ(calls.size(), 4u);
  EXPECT_EQ(calls.back(), std::make_pair(4, 4));
  vae.set_tiling({});
  try {
    vae.decode(golden.io.at("latents"), [](int, int) { return true; });
    ADD_FAILURE() << "the decode went on";
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::Cancelled);
  }
}

TEST(CogVideoXVae, RefusesLatentsOfAnotherShape) {
  Golden golden("vae_three_blocks");
  const CogVideoXVae vae(golden.config, golden.weights, true);
  EXPECT_THROW(vae.decode(at::zeros({1, 4, 1, 2, 2})), Error);
  EXPECT_THROW(vae.decode(at::zeros({3, 1, 2, 2})), Error);
  EXPECT_THROW(vae.decode(at::zeros({1, 3, 0, 2, 2})), Error);
  EXPECT_THROW(vae.encode_moments(at::zeros({1, 3, 1, 8, 6})), Error);
}

TEST(CogVideoXVae, GradientsOfEncoderAndDecoderMatchFiniteDifferences) {
  Golden golden("vae_three_blocks", at::kDouble);
  const CogVideoXVae vae(golden.config, golden.weights, true);
  for (const auto& [key, weight] : golden.weights.tensors()) weight.requires_grad_(true);
  const at::Tensor video = golden.io.at("video").narrow(2, 0, 9).narrow(4, 0, 8).to(at::kDouble);  // two chunks of latents: 3
  at::manual_seed(5);
  const at::Tensor target = at::randn({1, 3, 9, 8, 8}, at::kDouble), spread_target = at::randn({1, 3, 3, 2, 2}, at::kDouble);
  const auto loss = [&] {
    const auto moments = vae.encode_moments(video).chunk(2, 1);
    return (vae.decode(moments[0]) * target).sum() + (moments[1] * spread_target).sum();
  };
  loss().backward();
  std::vector<at::Tensor> directions;
  double slope = 0;
  for (const auto& [key, weight] : golden.weights.tensors()) {
    ASSERT_TRUE(weight.grad().defined()) << key;
    EXPECT_TRUE(weight.grad().isfinite().all().item<bool>()) << key;
    EXPECT_GT(weight.grad().abs().max().item<double>(), 0) << key;
    directions.push_back(at::randn_like(weight));
    slope += (weight.grad() * directions.back()).sum().item<double>();
  }
  const c10::NoGradGuard no_grad;
  const auto moved_loss = [&](double distance) {
    size_t i = 0;
    for (const auto& [key, weight] : golden.weights.tensors()) weight.add_(directions[i++], distance);
    return loss().item<double>();
  };
  const double step = 1e-6, above = moved_loss(step), below = moved_loss(-2 * step);
  EXPECT_NEAR((above - below) / (2 * step) / slope, 1.0, 1e-5) << "slope " << slope;
}

TEST(CogVideoXVae, GradientsReachTheLatentsThroughChunksAndTiles) {
  Golden golden("vae_three_blocks");
  CogVideoXVae vae(golden.config, golden.weights, false);
  at::Tensor latents = golden.io.at("latents").clone().requires_grad_(true);
  vae.decode(latents).square().sum().backward();
  EXPECT_GT(latents.grad().abs().amin().item<float>(), 0);
  at::Tensor tiled = golden.io.at("tiled_latents").clone().requires_grad_(true);
  vae.set_tiling(vae.default_tiling());
  vae.decode(tiled).square().sum().backward();
  EXPECT_GT(tiled.grad().abs().amin().item<float>(), 0);
}

TEST(CogVideoXVaeConfig, SurvivesJson) {
  CogVideoXVaeConfig config;
  config.block_out_channels = {16, 32, 64};
  config.norm_num_groups = 8;
  config.latent_channels = 12;
  config.norm_eps = 1e-5;
  config.scaling_factor = 0.7;
  config.shift_factor = 0.25;
  config.sample_height = 256;
  config.temporal_compression_ratio = 2;
  config.invert_scale_latents = true;
  const std::string json = config.to_json();
  const CogVideoXVaeConfig back = CogVideoXVaeConfig::from_json(json);
  EXPECT_EQ(back.to_json(), json);
  EXPECT_EQ(back.block_out_channels, config.block_out_channels);
  EXPECT_EQ(back.shift_factor, 0.25);
  EXPECT_EQ(back.spatial_compression(), 4);
  EXPECT_TRUE(back.invert_scale_latents);
}

TEST(CogVideoXVaeConfig, NamesTheValueThatCannotBeDone) {
  const std::map<std::string, std::string> cases{
      {"act_fn", R"({"act_fn":"gelu"})"},
      {"_class_name", R"({"_class_name":"AutoencoderKL"})"},
      {"latents_mean", R"({"latents_mean":[0.0]})"},
      {"down_block_types", R"({"down_block_types":["DownEncoderBlock2D"]})"},
      {"temporal_compression_ratio", R"({"temporal_compression_ratio":3})"},
      {"block_out_channels", R"({"block_out_channels":[100,256,256,512]})"},
      {"use_quant_conv", R"({"use_quant_conv":true})"},
      {"norm_num_groups", R"({"norm_num_groups":0})"},
  };
  for (const auto& [key, json] : cases) {
    try {
      CogVideoXVaeConfig::from_json(json);
      ADD_FAILURE() << json << " was accepted";
    } catch (const Error& error) {
      EXPECT_EQ(error.kind(), ErrorKind::Unsupported) << json;
      EXPECT_NE(std::string(error.what()).find(key), std::string::npos) << error.what();
    }
  }
  for (const char* json : {"", "[1]", R"({"latent_channels":"many"})"}) {
    try {
      CogVideoXVaeConfig::from_json(json);
      ADD_FAILURE() << json << " was accepted";
    } catch (const Error& error) {
      EXPECT_EQ(error.kind(), ErrorKind::Corrupt) << json;
    }
  }
}

}  // namespace
}  // namespace ditscope
