#include "core/text/t5_encoder.h"

#include <ATen/ATen.h>
#include <c10/core/InferenceMode.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <torch/torch.h>

#include "core/checkpoint/checkpoint.h"
#include "core/checkpoint/json_file.h"
#include "kernels/error.h"

namespace ditscope {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;

const fs::path kGolden = fs::path(DITSCOPE_SOURCE_DIR) / "tests/golden";

T5Encoder load(const fs::path& folder, c10::ScalarType dtype) {
  Checkpoint weights(folder, T5Encoder::weight_options(dtype));
  T5Encoder encoder(T5Config::from_json(read_file(folder / "config.json")), weights);
  weights.finish();
  return encoder;
}

/// max |a - b| / max |b|
double max_error(const at::Tensor& a, const at::Tensor& b) {
  return ((a.to(at::kDouble) - b.to(at::kDouble)).abs().max() / b.to(at::kDouble).abs().max()).item<double>();
}

double rms_error(const at::Tensor& a, const at::Tensor& b) {
  return ((a.to(at::kDouble) - b.to(at::kDouble)).norm() / b.to(at::kDouble).norm()).item<double>();
}

class T5Goldens : public ::testing::TestWithParam<const char*> {};

TEST_P(T5Goldens, Float32IsTransformersTo1e5) {
  const c10::InferenceMode guard;
  const auto golden = load_tensors(kGolden / GetParam() / "goldens.safetensors");
  const auto encoder = load(kGolden / GetParam(), at::kFloat);
  const auto out = encoder.forward(golden.at("ids")).slice(1, 0, std::nullopt, 10);
  const auto masked = encoder.forward(golden.at("ids"), golden.at("mask")).slice(1, 0, std::nullopt, 10);
  const double error = max_error(out, golden.at("float32.unmasked")),
               masked_error = max_error(masked, golden.at("float32.masked"));
  RecordProperty("max_relative_error", std::to_string(std::max(error, masked_error)));
  EXPECT_LT(error, 1e-5);
  EXPECT_LT(masked_error, 1e-5);
  EXPECT_GT(max_error(masked, golden.at("float32.unmasked")), 1e-3);  // the mask matters
}

TEST_P(T5Goldens, HalfPrecisionRoundsWhereTransformersRounds) {
  const c10::InferenceMode guard;
  const auto golden = load_tensors(kGolden / GetParam() / "goldens.safetensors");
  for (const auto& [dtype, name, limit] : {std::tuple{at::kBFloat16, "bfloat16", 5e-3}, {at::kHalf, "float16", 1e-3}}) {
    const auto encoder = load(kGolden / GetParam(), dtype);
    const auto out = encoder.forward(golden.at("ids")).slice(1, 0, std::nullopt, 10);
    EXPECT_EQ(out.scalar_type(), dtype);
    EXPECT_LT(rms_error(out, golden.at(std::string(name) + ".unmasked")), limit) << name;
    const auto masked = encoder.forward(golden.at("ids"), golden.at("mask")).slice(1, 0, std::nullopt, 10);
    EXPECT_LT(rms_error(masked, golden.at(std::string(name) + ".masked")), limit) << name;
  }
}

INSTANTIATE_TEST_SUITE_P(Folders, T5Goldens, ::testing::Values("text_t5_gated", "text_t5_relu", "text_umt5"),
                         [](const auto& info) { return std::string(info.param).substr(5); });

T5Config small_config() {
  T5Config config;
  config.vocab_size = 20;
  config.d_model = 8;
  config.d_kv = 4;
  config.d_ff = 12;
  config.num_layers = 2;
  config.num_heads = 3;
  config.feed_forward_proj = "gated-gelu";
  return config;
}

TEST(T5Encoder, EveryWeightGetsAGradient) {
  RandomWeights weights(5);
  const T5Encoder encoder(small_config(), weights);
  for (const auto& [key, weight] : weights.taken()) weight.requires_grad_();
  const auto ids = at::arange(12, at::kLong).view({2, 6});
  encoder.forward(ids, at::ones({2, 6}, at::kLong)).pow(2).sum().backward();
  for (const auto& [key, weight] : weights.taken()) {
    ASSERT_TRUE(weight.grad().defined()) << key;
    EXPECT_GT(weight.grad().abs().max().item<double>(), 0.0) << key;
  }
}

TEST(T5Encoder, GradientsAreThoseOfFiniteDifferences) {
  WeightOptions options;
  options.dtype = at::kDouble;
  RandomWeights weights(6, options);
  const T5Encoder encoder(small_config(), weights);
  const auto ids = at::arange(5, at::kLong).view({1, 5});
  const auto weight = weights.taken().at("encoder.block.0.layer.0.SelfAttention.relative_attention_bias.weight").requires_grad_();
  const auto loss = [&] { return encoder.forward(ids).pow(3).sum(); };
  loss().backward();
  const auto analytic = weight.grad()[0][1].item<double>();
  double sides[2];
  for (const int side : {0, 1}) {
    const at::NoGradGuard guard;
    weight[0][1] += side == 0 ? -1e-3 : 2e-3;
    sides[side] = loss().item<double>();
  }
  // Norms take their variance in float32, so the difference is only so smooth.
  EXPECT_NEAR((sides[1] - sides[0]) / 2e-3, analytic, 0.02 * std::abs(analytic) + 1e-2);
}

TEST(T5Encoder, MaskedTokensChangeNothingForTheOthers) {
  RandomWeights weights(7);
  const T5Encoder encoder(small_config(), weights);
  const auto ids = at::arange(6, at::kLong).view({1, 6}), other = ids.clone();
  other.slice(1, 4) = 19;
  auto mask = at::ones({1, 6}, at::kLong);
  mask.slice(1, 4) = 0;
  EXPECT_TRUE(encoder.forward(ids, mask).slice(1, 0, 4).equal(encoder.forward(other, mask).slice(1, 0, 4)));
}

TEST(T5Encoder, TakesTheEmbeddingUnderEitherNameAndBoth) {
  RandomWeights random(8);
  const T5Encoder encoder(small_config(), random);
  auto tensors = random.taken();
  const auto table = tensors.at("shared.weight");
  const auto ids = at::arange(6, at::kLong).view({1, 6});
  const auto expected = encoder.forward(ids);
  tensors["encoder.embed_tokens.weight"] = table;
  for (const bool both : {true, false}) {
    if (!both) tensors.erase("shared.weight");
    MapWeights weights("test", tensors);
    EXPECT_TRUE(T5Encoder(small_config(), weights).forward(ids).equal(expected));
    EXPECT_NO_THROW(weights.finish());
  }
}

TEST(T5Encoder, CanBeStoppedBeforeEveryLayer) {
  RandomWeights random(9);
  const T5Encoder encoder(small_config(), random);
  const auto ids = at::ones({1, 4}, at::kLong);
  std::int64_t layers = 0;
  encoder.forward(ids, std::nullopt, [&] { ++layers; });
  EXPECT_EQ(layers, small_config().num_layers);
  EXPECT_THROW(encoder.forward(ids, std::nullopt, [] { throw std::runtime_error("stop"); }), std::runtime_error);
}

TEST(T5Encoder, DecodersOfFullCheckpointsMayBeLeftOver) {
  RandomWeights random(9);
  const T5Encoder encoder(small_config(), random);
  auto tensors = random.taken();
  tensors["decoder.block.0.layer.0.SelfAttention.q.weight"] = tensors["lm_head.weight"] = at::ones({1});
  MapWeights weights("test", tensors, T5Encoder::weight_options(at::kFloat));
  const T5Encoder again(small_config(), weights);
  EXPECT_NO_THROW(weights.finish());
}

TEST(T5Encoder, HugeActivationsStayFiniteInHalf) {
  RandomWeights random(10);
  const T5Encoder plain(small_config(), random);
  auto tensors = random.taken();
  for (auto& [key, weight] : tensors) {
    if (key.find("SelfAttention.o") != std::string::npos) weight = weight * 10000;
  }
  MapWeights weights("test", tensors, T5Encoder::weight_options(at::kHalf));
  const T5Encoder encoder(small_config(), weights);
  const auto ids = at::arange(6, at::kLong).view({1, 6});
  EXPECT_TRUE(encoder.forward(ids).isfinite().all().item<bool>());
}

TEST(T5Encoder, WrongIdsAndShapesAreRefused) {
  RandomWeights weights(11);
  const T5Encoder encoder(small_config(), weights);
  EXPECT_THROW(encoder.forward(at::zeros({4}, at::kLong)), Error);
  EXPECT_THROW(encoder.forward(at::zeros({1, 4})), Error);
  EXPECT_THROW(encoder.forward(at::zeros({1, 0}, at::kLong)), Error);
  EXPECT_THROW(encoder.forward(at::full({1, 4}, 20, at::kLong)), Error);
  EXPECT_THROW(encoder.forward(at::full({1, 4}, -1, at::kLong)), Error);
  EXPECT_THROW(encoder.forward(at::zeros({1, 4}, at::kLong), at::ones({1, 5}, at::kLong)), Error);
}

TEST(T5Encoder, TheRealXxlConfigAsksForItsPublishedWeights) {
  auto config = T5Config::from_json(
      R"({"model_type":"t5","architectures":["T5EncoderModel"],"d_model":4096,"d_ff":10240,"d_kv":64,"num_heads":64,
    "num_layers":24,"vocab_size":32128,"feed_forward_proj":"gated-gelu","relative_attention_num_buckets":32,"layer_norm_epsilon":1e-06})");
  EXPECT_EQ(config.num_layers, 24);
  EXPECT_EQ(config.relative_attention_max_distance, 128);
  config.num_layers = 1;
  config.vocab_size = 64;  // the widths are what matters here
  config.d_ff = 32;
  RandomWeights weights(1, {}, [](const std::string&, at::Tensor& weight, at::Generator) { weight.zero_(); });
  const T5Encoder encoder(config, weights);
  EXPECT_EQ(weights.taken().size(), 3u + 9u);  // with 24 layers: 3 + 24 * 9 = 219
  EXPECT_EQ(weights.taken().at("encoder.block.0.layer.0.SelfAttention.relative_attention_bias.weight").sizes(),
            (at::IntArrayRef{32, 64}));
}

TEST(T5Config, SurvivesItsJson) {
  for (const char* projection : {"relu", "gated-gelu"}) {
    auto config = small_config();
    config.feed_forward_proj = projection;
    config.layer_norm_epsilon = 1e-5;
    EXPECT_EQ(T5Config::from_json(config.to_json()).to_json(), config.to_json());
  }
}

TEST(T5Config, ImpossibleValuesAreRefusedAndNamed) {
  const auto refused = [](const std::string& text, ErrorKind kind, const std::string& name) {
    try {
      T5Config::from_json(text, "config.json");
      ADD_FAILURE() << text;
    } catch (const Error& error) {
      EXPECT_EQ(error.kind(), kind) << text;
      EXPECT_THAT(error.what(), HasSubstr(name));
    }
  };
  refused("[]", ErrorKind::Corrupt, "object");
  refused(R"({"d_model":0})", ErrorKind::Corrupt, "d_model");
  refused(R"({"d_model":-4})", ErrorKind::Corrupt, "d_model");
  refused(R"({"num_heads":18446744073709551615})", ErrorKind::Corrupt, "num_heads");
  refused(R"({"num_layers":2.5})", ErrorKind::Corrupt, "num_layers");
  refused(R"({"layer_norm_epsilon":"small"})", ErrorKind::Corrupt, "layer_norm_epsilon");
  refused(R"({"relative_attention_num_buckets":2})", ErrorKind::Corrupt, "relative_attention_num_buckets");
  refused(R"({"feed_forward_proj":"gated-swish"})", ErrorKind::Unsupported, "gated-swish");
  refused(R"({"model_type":"clip_text_model"})", ErrorKind::Unsupported, "clip_text_model");
}

}  // namespace
}  // namespace ditscope
