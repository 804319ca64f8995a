#include "core/training/trainer.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <fstream>

#include "core/checkpoint/safetensors.h"
#include "core/training/bundled_model.h"
#include "core/training/trainable_weights.h"
#include "core/training/world/caption.h"
#include "kernels/error.h"
#include "tests/support/temporary_folder.h"

namespace ditscope {
namespace {

TrainingOptions quick(const std::filesystem::path& folder, std::int64_t steps) {
  TrainingOptions options;
  options.folder = folder;
  options.steps = steps;
  options.threads = 1;
  return options;
}

TEST(Trainer, WantsMinutesOrSteps) {
  test::TemporaryFolder folder;
  EXPECT_THROW(train_vae(quick(folder.path(), 0), [](const auto&) {}, [] { return false; }), Error);
}

// The whole road once, two steps each: a VAE, then a transformer on its latents, then a second start that goes on.
TEST(Trainer, WritesAModelFolderAndGoesOnWithIt) {
  test::TemporaryFolder folder;
  const auto never = [] { return false; };
  double last_loss = 0;
  const auto watch = [&](const TrainingProgress& progress) {
    if (progress.loss > 0) last_loss = progress.loss;
  };
  train_vae(quick(folder / "vae", 1), watch, never);
  EXPECT_GT(last_loss, 0);
  EXPECT_TRUE(std::filesystem::exists(folder / "vae/vae/config.json"));

  TransformerTrainingOptions options;
  static_cast<TrainingOptions&>(options) = quick(folder / "dit", 2);
  options.vae = folder / "vae/vae";
  options.phases = {{1, 64, 2, 0.5, 0.5}, {5, 64, 1, 0.5, 0.5}};
  train_transformer(options, watch, never);
  for (const char* file : {"model_index.json", "scheduler/scheduler_config.json", "tokenizer/spiece.model", "text_encoder/model.safetensors",
                           "transformer/diffusion_pytorch_model.safetensors", "vae/diffusion_pytorch_model.safetensors", "ditscope.json",
                           "latent_rgb.json"}) {
    EXPECT_TRUE(std::filesystem::exists(folder / "dit/model" / file)) << file;
  }
  // transformers takes a second table for another embedding than the one that was trained.
  EXPECT_EQ(load_tensors(folder / "dit/model/text_encoder/model.safetensors").count("encoder.embed_tokens.weight"), 0);
  const auto steps_of = [&] { return load_tensors(folder / "dit/state.safetensors").at("steps").item<std::int64_t>(); };
  EXPECT_EQ(steps_of(), 2);
  options.steps = 3;
  train_transformer(options, watch, never);
  EXPECT_EQ(steps_of(), 3);
}

TEST(Trainer, BundledTokenizerKnowsEveryWordInFewTokens) {
  test::TemporaryFolder folder;
  const auto tokenizer = BundledModelFolder(folder.path()).prepare_tokenizer({});
  world::SceneRandom random(5);
  int longest = 0;
  for (int i = 0; i < 500; ++i) {
    world::Scene scene = world::sample_scene(random, {.split = world::Split::Any});
    scene.phrasing = random.below(world::kPhrasings);
    for (const auto& piece : tokenizer->pieces(world::caption(scene))) EXPECT_NE(piece.id, tokenizer->unk_id()) << piece.text;
    longest = std::max(longest, tokenizer->count(world::caption(scene)));
  }
  EXPECT_LE(longest, bundled_transformer_config().max_text_seq_length);
}

TEST(TrainableWeights, StartsModulationsAtZeroAndGainsAtOne) {
  TrainableWeights weights(1, at::kCPU);
  EXPECT_EQ(weights.take("transformer_blocks.0.norm1.linear.weight", {12, 4}).abs().sum().item<double>(), 0);
  EXPECT_EQ(weights.take("norm_final.weight", {4}).sum().item<double>(), 4);
  EXPECT_EQ(weights.take("norm_final.bias", {4}).abs().sum().item<double>(), 0);
  const auto projection = weights.take("transformer_blocks.0.attn1.to_q.weight", {256, 256});
  EXPECT_NEAR(projection.std().item<double>(), 0.7 / 16, 0.002);
  EXPECT_TRUE(projection.requires_grad());
  EXPECT_EQ(weights.count(), 48 + 4 + 4 + 65536);
}

TEST(TrainableWeights, RefusesStartingWeightsOfAnotherShape) {
  TrainableWeights weights(1, at::kCPU, {{"a.weight", at::ones({2, 2})}});
  EXPECT_THROW(weights.take("a.weight", {3, 2}), Error);
}

}  // namespace
}  // namespace ditscope
