#include <ATen/ATen.h>
#include <c10/core/GradMode.h>
#include <c10/core/InferenceMode.h>
#include <gtest/gtest.h>

#include <cmath>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "core/checkpoint/checkpoint.h"
#include "core/checkpoint/json_file.h"
#include "core/models/cogvideox_transformer.h"
#include "core/models/positions.h"
#include "kernels/error.h"

namespace ditscope {
namespace {

namespace fs = std::filesystem;

const fs::path kGolden = fs::path(DITSCOPE_SOURCE_DIR) / "tests" / "golden";

double relative_error(const at::Tensor& ours, const at::Tensor& theirs) {
  if (ours.sizes() != theirs.sizes()) return std::numeric_limits<double>::infinity();
  return ((ours.to(at::kDouble) - theirs.to(at::kDouble)).abs().max() / theirs.to(at::kDouble).abs().max()).item<double>();
}

double relative_rms(const at::Tensor& ours, const at::Tensor& theirs) {
  return ((ours.to(at::kDouble) - theirs.to(at::kDouble)).norm() / theirs.to(at::kDouble).norm()).item<double>();
}

/// Dense attention that asks for a token order and checks what each layer hands over.
class CheckedAttention final : public Attention {
 public:
  CheckedAttention(TokenOrder order, int head_dim) : order_(order), head_dim_(head_dim) {}
  TokenOrder preferred_order(const TokenLayout& layout) const override {
    EXPECT_TRUE(layout.text_first);
    return order_;
  }
  at::Tensor attend(const LayerCall& call) override {
    EXPECT_EQ(call.layer, calls);
    EXPECT_EQ(call.layout.order, order_);
    EXPECT_EQ(call.q.size(2), call.layout.tokens());
    EXPECT_DOUBLE_EQ(call.scale, 1 / std::sqrt(double(head_dim_)));
    EXPECT_EQ(call.branches.size(), std::size_t(call.q.size(0)));
    ++calls;
    last = call.layout;
    return dense_.attend(call);
  }
  int calls = 0;
  TokenLayout last;

 private:
  TokenOrder order_;
  int head_dim_;
  DenseAttention dense_;
};

struct Case {
  CogVideoXConfig config;
  CogVideoXTransformer model;
  TensorMap golden;
};

Case load_case(const std::string& name, WeightOptions options = {}) {
  const fs::path folder = kGolden / name;
  const CogVideoXConfig config = CogVideoXConfig::from_json(read_file(folder / "transformer" / "config.json"));
  Checkpoint weights(folder / "transformer", options);
  CogVideoXTransformer model(config, weights);
  weights.finish();
  return {config, std::move(model), load_tensors(folder / "goldens.safetensors")};
}

DenoiserCall module_call(const TensorMap& golden) {
  DenoiserCall call;
  call.latents = golden.at("module.latents");
  call.text = golden.at("module.text");
  call.timestep = golden.at("module.timestep");
  call.branches.assign(call.latents.size(0), Branch::Conditional);
  return call;
}

class TransformerParity : public ::testing::TestWithParam<const char*> {};
INSTANTIATE_TEST_SUITE_P(Cases, TransformerParity,
                         ::testing::Values("cogx_2b_ddim", "cogx_2b_default_size", "cogx_2b_dpm", "cogx_5b_dpm_dynamic_cfg", "cogx_5b_ddim",
                                           "cogx_5b_no_cfg", "cogx_15_padded", "cogx_15_even"));

TEST_P(TransformerParity, MatchesDiffusersInBothTokenOrders) {
  Case c = load_case(GetParam());
  const DenoiserCall call = module_call(c.golden);
  for (const TokenOrder order : {TokenOrder::FrameMajor, TokenOrder::PositionMajor}) {
    CheckedAttention attention(order, c.config.attention_head_dim);
    const c10::InferenceMode inference;
    const at::Tensor out = c.model.forward(call, attention);
    EXPECT_LT(relative_error(out, c.golden.at("module.output")), 1e-5);
    EXPECT_EQ(attention.calls, c.config.num_layers);
    EXPECT_EQ(attention.last.frames, call.latents.size(1) / c.config.frame_patch());
  }
}

TEST_P(TransformerParity, RecordingAGraphChangesNothing) {
  Case c = load_case(GetParam());
  DenseAttention attention;
  DenoiserCall call = module_call(c.golden);
  const at::Tensor with_graph = c.model.forward(call, attention);
  EXPECT_LT(relative_error(with_graph, c.golden.at("module.output")), 1e-5);
}

TEST_P(TransformerParity, FirstNoisePredictionOfThePipelineMatches) {
  Case c = load_case(GetParam());
  const at::Tensor& expected = c.golden.at("first_noise_prediction");
  DenoiserCall call;
  call.latents = c.golden.at("initial_latents");
  call.text = c.golden.at("prompt_embeds");
  if (expected.size(0) == 2) {
    call.latents = at::cat({call.latents, call.latents});
    call.text = at::cat({c.golden.at("negative_prompt_embeds"), call.text});
  }
  call.timestep = c.golden.at("timesteps")[0].expand({expected.size(0)});
  DenseAttention attention;
  const c10::InferenceMode inference;
  EXPECT_LT(relative_error(c.model.forward(call, attention), expected), 1e-5);
}

TEST_P(TransformerParity, LeavesItsInputsAlone) {
  Case c = load_case(GetParam());
  const DenoiserCall call = module_call(c.golden);
  const at::Tensor latents = call.latents.clone(), text = call.text.clone();
  DenseAttention attention;
  const c10::InferenceMode inference;
  const at::Tensor once = c.model.forward(call, attention), twice = c.model.forward(call, attention);
  EXPECT_TRUE(at::equal(call.latents, latents));
  EXPECT_TRUE(at::equal(call.text, text));
  EXPECT_TRUE(at::equal(once, twice));
}

TEST_P(TransformerParity, HalfPrecisionStaysNear) {
  for (const auto dtype : {at::kBFloat16, at::kHalf}) {
    Case c = load_case(GetParam(), {.dtype = dtype, .float32_parts = {}, .ignorable = {}});
    DenoiserCall call = module_call(c.golden);
    call.latents = call.latents.to(dtype);
    call.text = call.text.to(dtype);
    DenseAttention attention;
    const c10::InferenceMode inference;
    const at::Tensor out = c.model.forward(call, attention);
    EXPECT_EQ(out.scalar_type(), dtype);
    EXPECT_LT(relative_rms(out, c.golden.at("module.output")), dtype == at::kHalf ? 5e-3 : 4e-2);
  }
}

// Large products in bfloat16, all that adds up in float32: nearer to float32 than bfloat16 throughout.
TEST_P(TransformerParity, WideProductsInBfloat16StayNearer) {
  const std::vector<std::string> ends{"patch_embed", "time_embedding", "norm1", "norm2", "norm_q", "norm_k", "norm_final", "norm_out", "proj_out"};
  double errors[2];
  for (const bool all : {false, true}) {
    Case c = load_case(GetParam(), {.dtype = at::kBFloat16, .float32_parts = all ? std::vector<std::string>{} : ends, .ignorable = {}});
    DenseAttention attention;
    const c10::InferenceMode inference;
    const at::Tensor out = c.model.forward(module_call(c.golden), attention);
    EXPECT_EQ(out.scalar_type(), all ? at::kBFloat16 : at::kFloat);
    errors[all] = relative_rms(out, c.golden.at("module.output"));
  }
  EXPECT_LT(errors[0], errors[1]);
  EXPECT_LT(errors[0], 2e-2);
}

TEST(Transformer, GradientsMatchAutogradOfDiffusersWithEverySwitchTurned) {
  const fs::path folder = kGolden / "cogx_modules" / "odd_transformer";
  const CogVideoXConfig config = CogVideoXConfig::from_json(read_file(folder / "config.json"));
  TensorMap weights = load_tensors(folder / "diffusion_pytorch_model.safetensors");
  const TensorMap golden = load_tensors(folder / "goldens.safetensors");
  for (auto& [key, weight] : weights) weight = weight.clone().requires_grad_(true);
  MapWeights source("odd", weights);
  const CogVideoXTransformer model(config, source);
  source.finish();
  DenoiserCall call;
  call.latents = golden.at("latents");
  call.text = golden.at("text");
  call.timestep = golden.at("timestep");
  call.branches.assign(2, Branch::Conditional);
  DenseAttention attention;
  {
    const c10::InferenceMode inference;  // fills the position cache; training afterwards must not mind
    EXPECT_LT(relative_error(model.forward(call, attention), golden.at("output")), 1e-5);
  }
  for (const TokenOrder order : {TokenOrder::FrameMajor, TokenOrder::PositionMajor}) {
    CheckedAttention ordered(order, config.attention_head_dim);
    for (auto& [key, weight] : weights) weight.mutable_grad() = at::Tensor();
    const at::Tensor out = model.forward(call, ordered);
    EXPECT_LT(relative_error(out, golden.at("output")), 1e-5);
    (out * golden.at("weight")).sum().backward();
    double largest = 0;
    for (const auto& [key, weight] : weights) largest = std::max(largest, golden.at("grad." + key).abs().max().item<double>());
    for (const auto& [key, weight] : weights) {
      ASSERT_TRUE(weight.grad().defined()) << key;
      // norm_k's bias shifts all logits of a row alike, so that its gradient is rounding noise around zero.
      const double scale = std::max(golden.at("grad." + key).abs().max().item<double>(), 1e-2 * largest);
      EXPECT_LT((weight.grad() - golden.at("grad." + key)).abs().max().item<double>(), 2e-5 * scale) << key;
    }
  }
}

TEST(Transformer, GradientsFlowThroughRotaryPositionsAsFiniteDifferencesSay) {
  CogVideoXConfig config = CogVideoXConfig::from_json(read_file(kGolden / "cogx_15_even" / "transformer" / "config.json"));
  TensorMap weights = load_tensors(kGolden / "cogx_15_even" / "transformer" / "diffusion_pytorch_model.safetensors");
  for (auto& [key, weight] : weights) weight = weight.clone().requires_grad_(true);
  MapWeights source("15", weights);
  const CogVideoXTransformer model(config, source);
  const TensorMap golden = load_tensors(kGolden / "cogx_15_even" / "goldens.safetensors");
  const DenoiserCall call = module_call(golden);
  DenseAttention attention;
  const auto loss = [&] { return model.forward(call, attention).square().mean(); };
  loss().backward();
  for (const char* key : {"transformer_blocks.0.attn1.to_q.weight", "transformer_blocks.0.attn1.norm_k.weight",
                          "patch_embed.proj.weight", "transformer_blocks.0.norm1.linear.bias"}) {
    at::Tensor& weight = weights.at(key);
    const c10::NoGradGuard no_grad;
    const at::Tensor direction = weight.grad() / weight.grad().norm();
    const double step = 1e-2, slope = (weight.grad() * direction).sum().item<double>();
    weight.add_(direction, step);
    const double above = loss().item<double>();
    weight.sub_(direction, 2 * step);
    const double below = loss().item<double>();
    weight.add_(direction, step);
    EXPECT_NEAR((above - below) / (2 * step), slope, 0.01 * slope) << key;
  }
}

TEST(Transformer, StopsBetweenLayersWhenAsked) {
  Case c = load_case("cogx_5b_dpm_dynamic_cfg");
  DenoiserCall call = module_call(c.golden);
  CheckedAttention attention(TokenOrder::FrameMajor, c.config.attention_head_dim);
  call.on_layer = [](int layer, int layers) {
    EXPECT_EQ(layers, 2);
    return layer == 1;
  };
  const c10::InferenceMode inference;
  try {
    c.model.forward(call, attention);
    FAIL() << "went on";
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::Cancelled);
  }
  EXPECT_EQ(attention.calls, 1);
}

TEST(Transformer, NamesTheShapeThatDoesNotFit) {
  Case c = load_case("cogx_15_even");
  DenseAttention attention;
  const auto expect_refused = [&](at::IntArrayRef latents, at::IntArrayRef text, const char* word) {
    DenoiserCall call;
    call.latents = at::zeros(latents);
    call.text = at::zeros(text);
    call.timestep = at::zeros({latents[0]}, at::kLong);
    try {
      c.model.forward(call, attention);
      ADD_FAILURE() << "accepted; expected a complaint about " << word;
    } catch (const Error& error) {
      EXPECT_EQ(error.kind(), ErrorKind::InvalidArgument);
      EXPECT_NE(std::string(error.what()).find(word), std::string::npos) << error.what();
    }
  };
  expect_refused({1, 2, 5, 4, 4}, {1, 16, 16}, "(B,F,4,Y,X)");
  expect_refused({1, 2, 4, 5, 4}, {1, 16, 16}, "multiples of 2");
  expect_refused({1, 3, 4, 4, 4}, {1, 16, 16}, "latent frames");
  expect_refused({1, 2, 4, 4, 4}, {1, 16, 15}, "text embeddings");
  expect_refused({2, 2, 4, 4, 4}, {1, 16, 16}, "text embeddings");
  expect_refused({1, 2, 4, 18, 4}, {1, 16, 16}, "at most 16 x 16");
}

TEST(Positions, RotaryTablesMatchDiffusersOnStretchedGrids) {
  const TensorMap golden = load_tensors(kGolden / "cogx_modules" / "rotary.safetensors");
  int grids = 0;
  for (const auto& [key, cosine] : golden) {
    if (!key.ends_with(".cos")) continue;
    ++grids;
    const std::string name = key.substr(0, key.size() - 4);
    const std::int64_t rows = std::stol(name), columns = std::stol(name.substr(name.find('x') + 1));
    const at::Tensor table =
        rotary_table(16, rotary_grid_linspace(3, rows, columns, 30, 45), 5, TokenOrder::FrameMajor);  // (T,8)
    EXPECT_TRUE(at::equal(table.narrow(0, 0, 5), at::ones({5, 8}, at::kComplexFloat))) << "text turns";
    const at::Tensor frame = table.narrow(0, 5 + rows * columns, rows * columns).view({rows, columns, 8});
    const at::Tensor edge = at::cat({frame[0], frame.select(1, 0)});
    EXPECT_LT((at::real(edge).repeat_interleave(2, 1) - cosine).abs().max().item<float>(), 1e-6) << name;
    EXPECT_LT((at::imag(edge).repeat_interleave(2, 1) - golden.at(name + ".sin")).abs().max().item<float>(), 1e-6) << name;
  }
  EXPECT_EQ(grids, 5);
}

// ---------------------------------------------------------------- published configs

/// Checks each key and shape against a list made with diffusers, and hands out random weights in bfloat16.
class ListedWeights final : public WeightSource {
 public:
  explicit ListedWeights(const fs::path& list) {
    std::istringstream lines(read_file(list));
    for (std::string line; std::getline(lines, line);) {
      const auto space = line.find(' ');
      std::vector<std::int64_t> shape;
      for (std::size_t at = space; at < line.size(); at = line.find(',', at + 1)) shape.push_back(std::stol(line.substr(at + 2)));
      shapes_[line.substr(0, space)] = shape;
    }
  }
  at::Tensor take(const std::string& key, at::IntArrayRef shape) override {
    const auto found = shapes_.find(key);
    if (found == shapes_.end()) throw Error(ErrorKind::Corrupt, "not listed, or taken twice: " + key);
    EXPECT_EQ(at::IntArrayRef(found->second), shape) << key;
    shapes_.erase(found);
    const double fan = shape.size() > 1 ? double(shape[1]) : 10.0;
    return at::randn(shape, at::kBFloat16).mul_(1 / std::sqrt(fan));
  }
  bool has(const std::string& key) const override { return shapes_.contains(key); }
  std::size_t left() const { return shapes_.size(); }

 private:
  std::map<std::string, std::vector<std::int64_t>> shapes_;
};

struct Published {
  const char* name;
  const char* config;  ///< config.json as published, but for num_layers
  std::int64_t frames;
};

const Published kPublished[] = {
    {"cogvideox_2b",
     R"({"_class_name": "CogVideoXTransformer3DModel", "_diffusers_version": "0.30.0.dev0", "activation_fn": "gelu-approximate",
      "attention_bias": true, "attention_head_dim": 64, "dropout": 0.0, "flip_sin_to_cos": true, "freq_shift": 0,
      "in_channels": 16, "max_text_seq_length": 226, "norm_elementwise_affine": true, "norm_eps": 1e-05,
      "num_attention_heads": 30, "num_layers": 1, "out_channels": 16, "patch_size": 2, "sample_frames": 49,
      "sample_height": 60, "sample_width": 90, "spatial_interpolation_scale": 1.875, "temporal_compression_ratio": 4,
      "temporal_interpolation_scale": 1.0, "text_embed_dim": 4096, "time_embed_dim": 512, "timestep_activation_fn": "silu",
      "use_rotary_positional_embeddings": false})",
     3},
    {"cogvideox_5b",
     R"({"_class_name": "CogVideoXTransformer3DModel", "_diffusers_version": "0.31.0.dev0", "activation_fn": "gelu-approximate",
      "attention_bias": true, "attention_head_dim": 64, "dropout": 0.0, "flip_sin_to_cos": true, "freq_shift": 0,
      "in_channels": 16, "max_text_seq_length": 226, "norm_elementwise_affine": true, "norm_eps": 1e-05,
      "num_attention_heads": 48, "num_layers": 1, "out_channels": 16, "patch_size": 2, "sample_frames": 49,
      "sample_height": 60, "sample_width": 90, "spatial_interpolation_scale": 1.875, "temporal_compression_ratio": 4,
      "temporal_interpolation_scale": 1.0, "text_embed_dim": 4096, "time_embed_dim": 512, "timestep_activation_fn": "silu",
      "use_learned_positional_embeddings": false, "use_rotary_positional_embeddings": true})",
     3},
    {"cogvideox15_5b",
     R"({"_class_name": "CogVideoXTransformer3DModel", "_diffusers_version": "0.32.0.dev0", "activation_fn": "gelu-approximate",
      "attention_bias": true, "attention_head_dim": 64, "dropout": 0.0, "flip_sin_to_cos": true, "freq_shift": 0,
      "in_channels": 16, "max_text_seq_length": 224, "norm_elementwise_affine": true, "norm_eps": 1e-05,
      "num_attention_heads": 48, "num_layers": 1, "ofs_embed_dim": null, "out_channels": 16, "patch_bias": false,
      "patch_size": 2, "patch_size_t": 2, "sample_frames": 81, "sample_height": 300, "sample_width": 300,
      "spatial_interpolation_scale": 1.875, "temporal_compression_ratio": 4, "temporal_interpolation_scale": 1.0,
      "text_embed_dim": 4096, "time_embed_dim": 512, "timestep_activation_fn": "silu",
      "use_learned_positional_embeddings": false, "use_rotary_positional_embeddings": true})",
     4},
};

TEST(Transformer, KnowsThePublishedOnesByTheirShape) {
  const auto name = [](int index, int layers) {
    CogVideoXConfig config = CogVideoXConfig::from_json(kPublished[index].config);
    config.num_layers = layers;
    return config.published_name();
  };
  EXPECT_EQ(name(0, 30), "CogVideoX-2B");
  EXPECT_EQ(name(1, 42), "CogVideoX-5B");
  EXPECT_EQ(name(2, 42), "CogVideoX1.5-5B");
  EXPECT_EQ(name(1, 30), "") << "30 layers of 48 heads are none";
}

TEST(Transformer, TakesThePublishedCheckpointsKeysAndShapesAndRuns) {
  for (const Published& published : kPublished) {
    SCOPED_TRACE(published.name);
    const CogVideoXConfig config = CogVideoXConfig::from_json(published.config);
    at::manual_seed(5);
    ListedWeights weights(kGolden / (std::string("keys_") + published.name + ".txt"));
    const CogVideoXTransformer model(config, weights);
    EXPECT_EQ(weights.left(), 0u);
    DenoiserCall call;
    call.latents = at::randn({1, published.frames, 16, 4, 6}, at::kBFloat16);
    call.text = at::randn({1, 8, 4096}, at::kBFloat16);
    call.timestep = at::full({1}, 999, at::kLong);
    call.branches = {Branch::Conditional};
    CheckedAttention attention(TokenOrder::FrameMajor, 64);
    const c10::InferenceMode inference;
    const at::Tensor out = model.forward(call, attention);
    EXPECT_EQ(out.sizes(), call.latents.sizes());
    EXPECT_TRUE(at::isfinite(out).all().item<bool>());
    EXPECT_EQ(attention.calls, 1);
  }
}

// ---------------------------------------------------------------- configs

TEST(TransformerConfig, SurvivesItsOwnJson) {
  for (const Published& published : kPublished) {
    const CogVideoXConfig config = CogVideoXConfig::from_json(published.config);
    EXPECT_EQ(CogVideoXConfig::from_json(config.to_json()).to_json(), config.to_json());
    EXPECT_EQ(config.patch_size_t.has_value(), std::string(published.name) == "cogvideox15_5b");
  }
}

TEST(TransformerConfig, RefusesWhatItCannotDoByName) {
  const std::pair<const char*, const char*> cases[] = {
      {R"({"ofs_embed_dim": 512})", "ofs_embed_dim"},
      {R"({"use_rotary_positional_embeddings": true, "use_learned_positional_embeddings": true})", "learned"},
      {R"({"in_channels": 32})", "image-to-video"},
      {R"({"activation_fn": "geglu"})", "geglu"},
      {R"({"timestep_activation_fn": "tanh"})", "tanh"},
      {R"({"patch_size_t": 2})", "patch_size_t"},
      {R"({"use_rotary_positional_embeddings": true, "attention_head_dim": 24})", "24"},
      {R"({"_class_name": "WanTransformer3DModel"})", "WanTransformer3DModel"},
      {R"({"num_layers": 0})", "num_layers"},
      {R"({"spatial_interpolation_scale": 0})", "interpolation"},
  };
  for (const auto& [json, word] : cases) {
    try {
      CogVideoXConfig::from_json(json);
      ADD_FAILURE() << "accepted " << json;
    } catch (const Error& error) {
      EXPECT_EQ(error.kind(), ErrorKind::Unsupported) << json;
      EXPECT_NE(std::string(error.what()).find(word), std::string::npos) << error.what();
    }
  }
}

TEST(TransformerConfig, CallsWrongTypesCorrupt) {
  for (const char* json : {"", "[]", "{\"num_layers\": \"2\"}", "{\"num_layers\": -3}", "{\"num_layers\": 1e30}",
                           "{\"norm_eps\": null}", "{\"attention_bias\": 1}", "{\"activation_fn\": 3}"}) {
    try {
      CogVideoXConfig::from_json(json);
      ADD_FAILURE() << "accepted " << json;
    } catch (const Error& error) {
      EXPECT_EQ(error.kind(), ErrorKind::Corrupt) << json;
    }
  }
}

}  // namespace
}  // namespace ditscope
