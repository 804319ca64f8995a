#include "core/checkpoint/checkpoint.h"

#include <ATen/ATen.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <functional>

#include "kernels/error.h"
#include "tests/support/temporary_folder.h"

namespace ditscope {
namespace {

namespace fs = std::filesystem;
using test::TemporaryFolder;
using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

void expect_error(ErrorKind kind, const ::testing::Matcher<std::string>& message, const std::function<void()>& act) {
  try {
    act();
    ADD_FAILURE() << "no error";
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), kind) << error.what();
    EXPECT_THAT(std::string(error.what()), message);
  }
}

const TensorMap kTwo = {{"layer.norm.weight", at::ones({3})}, {"layer.proj.weight", at::arange(6, at::kFloat).view({2, 3})}};

TEST(Checkpoint, TakesWeightsOfTheWantedDtypeAndKeepsNamedPartsInFloat32) {
  const TemporaryFolder folder;
  save_tensors(folder / "model.safetensors",
               {{"a.wo.weight", at::ones({2})}, {"a.wonder.weight", at::ones({2})}, {"step", at::ones({1}, at::kLong)}});
  WeightOptions options;
  options.dtype = at::kHalf;
  options.float32_parts = {"wo"};
  Checkpoint weights(folder.path(), options);
  EXPECT_EQ(weights.take("a.wo.weight", {2}).scalar_type(), at::kFloat);
  EXPECT_EQ(weights.take("a.wonder.weight", {2}).scalar_type(), at::kHalf);
  EXPECT_EQ(weights.take("step", {1}).scalar_type(), at::kLong);
  EXPECT_NO_THROW(weights.finish());
  EXPECT_EQ(weights.stored_dtype(), at::kFloat);
}

TEST(Checkpoint, MissingMisshapenAndLeftOverWeightsAreNamed) {
  const TemporaryFolder folder;
  save_tensors(folder / "model.safetensors", kTwo);
  Checkpoint weights(folder.path());
  expect_error(ErrorKind::Corrupt,
               AllOf(HasSubstr("layer.norm.bias"), HasSubstr("missing"), HasSubstr("nearest of those left: layer.norm.weight")),
               [&] { weights.take("layer.norm.bias", {3}); });
  expect_error(ErrorKind::Corrupt, AllOf(HasSubstr("layer.proj.weight"), HasSubstr("[3, 2]"), HasSubstr("[2, 3]")), [&] {
    weights.take("layer.proj.weight", {3, 2});
  });
  weights.take("layer.norm.weight", {3});
  expect_error(ErrorKind::InvalidArgument, HasSubstr("twice"), [&] { weights.take("layer.norm.weight", {3}); });
  expect_error(ErrorKind::Corrupt, AllOf(HasSubstr("layer.proj.weight"), Not(HasSubstr("layer.norm.weight"))),
               [&] { weights.finish(); });
  EXPECT_TRUE(weights.has("layer.proj.weight"));
  EXPECT_FALSE(weights.has("layer.proj.bias"));
}

TEST(Checkpoint, LegacyAndIgnorableKeysMayBeLeftOver) {
  WeightOptions options;
  options.ignorable = {"decoder.", "lm_head.weight"};
  const auto one = at::ones({1});
  MapWeights weights("test",
                     {{"pos_embed.pos_embed", one},
                      {"patch_embed.pos_embedding", one},
                      {"decoder.block.0.weight", one},
                      {"lm_head.weight", one},
                      {"x.lm_head.weight", one}},
                     options);
  EXPECT_NO_THROW(weights.finish());
  MapWeights other("test", {{"my_decoder.weight", one}}, options);
  EXPECT_THROW(other.finish(), Error);
}

TEST(Checkpoint, ShardsAreOneCheckpoint) {
  const TemporaryFolder folder;
  save_tensors(folder / "m-1-of-2.safetensors", {{"a", at::ones({1})}});
  save_tensors(folder / "m-2-of-2.safetensors", {{"b", at::ones({2})}});
  std::ofstream(folder / "diffusion_pytorch_model.safetensors.index.json")
      << R"({"metadata":{"total_size":12},"weight_map":{"a":"m-1-of-2.safetensors","b":"m-2-of-2.safetensors"}})";
  Checkpoint weights(folder.path());
  weights.take("a", {1});
  weights.take("b", {2});
  EXPECT_NO_THROW(weights.finish());
  EXPECT_EQ(weights.stored_bytes(), 12u);
}

TEST(Checkpoint, ShardIndicesThatLieAreRefused) {
  const auto with_index = [](const std::string& index, ErrorKind kind, const std::string& reason) {
    const TemporaryFolder folder;
    save_tensors(folder / "one.safetensors", {{"a", at::ones({1})}});
    save_tensors(folder / "two.safetensors", {{"a", at::ones({1})}, {"b", at::ones({1})}});
    std::ofstream(folder / "model.safetensors.index.json") << index;
    expect_error(kind, HasSubstr(reason), [&] { Checkpoint weights(folder.path()); });
  };
  with_index(R"({"weight_map":{"a":"gone.safetensors"}})", ErrorKind::NotFound, "gone.safetensors");
  with_index(R"({"weight_map":{"z":"one.safetensors"}})", ErrorKind::Corrupt, "z");
  with_index(R"({"weight_map":{"a":"one.safetensors","b":"two.safetensors"}})", ErrorKind::Corrupt, "two shards");
  with_index(R"({"weight_map":{"a":"../one.safetensors"}})", ErrorKind::Corrupt, "beside it");
  with_index(R"({"weight_map":{"a":"/etc/passwd"}})", ErrorKind::Corrupt, "beside it");
  with_index(R"({"weight_map":{"a":7}})", ErrorKind::Corrupt, "beside it");
  with_index(R"({"weight_map":["one.safetensors"]})", ErrorKind::Corrupt, "weight_map");
  with_index(R"([])", ErrorKind::Corrupt, "weight_map");
  with_index("{", ErrorKind::Corrupt, "line 1");
}

TEST(Checkpoint, PlainFilesWinOverVariantsAndAVariantCanBeAskedFor) {
  const TemporaryFolder folder;
  save_tensors(folder / "model.fp16.safetensors", {{"a", at::ones({1}, at::kHalf)}});
  EXPECT_EQ(locate_weights(folder.path()).filename(), "model.fp16.safetensors");
  save_tensors(folder / "model.safetensors", {{"a", at::ones({1})}});
  EXPECT_EQ(locate_weights(folder.path()).filename(), "model.safetensors");
  EXPECT_EQ(Checkpoint(folder.path(), {}, "fp16").stored_dtype(), at::kHalf);
  expect_error(ErrorKind::NotFound, HasSubstr("variant bf16"), [&] { locate_weights(folder.path(), "bf16"); });
  std::ofstream(folder / "diffusion_pytorch_model.safetensors.index.bf16.json") << "{}";
  EXPECT_EQ(locate_weights(folder.path(), "bf16").filename(), "diffusion_pytorch_model.safetensors.index.bf16.json");
}

TEST(Checkpoint, FoldersWithoutSafetensorsSayWhatTheyHave) {
  const TemporaryFolder folder;
  expect_error(ErrorKind::NotFound, HasSubstr("empty folder"), [&] { locate_weights(folder.path()); });
  std::ofstream(folder / "config.json") << "{}";
  expect_error(ErrorKind::NotFound, HasSubstr("config.json"), [&] { locate_weights(folder.path()); });
  std::ofstream(folder / "diffusion_pytorch_model.bin") << "x";
  expect_error(ErrorKind::Unsupported, HasSubstr("pickle"), [&] { locate_weights(folder.path()); });
  expect_error(ErrorKind::NotFound, HasSubstr("no folder"), [&] { locate_weights(folder / "none"); });
}

TEST(MapWeights, HandsOutTheTensorsThemselves) {
  MapWeights weights("test", kTwo);
  EXPECT_TRUE(weights.take("layer.norm.weight", {3}).is_same(kTwo.at("layer.norm.weight")));
}

TEST(RandomWeights, DependOnSeedAndKeyAloneAndAreAllRandom) {
  RandomWeights one(1), again(1), other(2);
  again.take("z", {5});
  const auto a = one.take("a.weight", {4, 6});
  EXPECT_TRUE(a.equal(again.take("a.weight", {4, 6})));
  EXPECT_FALSE(a.equal(other.take("a.weight", {4, 6})));
  EXPECT_FALSE(a.equal(one.take("b.weight", {4, 6})));
  const auto norm = one.take("norm.weight", {64});
  EXPECT_NEAR(norm.mean().item<double>(), 1.0, 0.15);
  EXPECT_GT(norm.std().item<double>(), 0.1);
  EXPECT_GT(one.take("norm.bias", {64}).std().item<double>(), 0.1);
  EXPECT_EQ(one.taken().size(), 4u);
  EXPECT_THROW(one.take("a.weight", {4, 6}), Error);
}

TEST(RandomWeights, TrainingStartsFromNeutralNormsAndBiases) {
  RandomWeights weights(1, {}, initialize_for_training);
  EXPECT_TRUE(weights.take("norm.weight", {5}).equal(at::ones({5})));
  EXPECT_TRUE(weights.take("norm.bias", {5}).equal(at::zeros({5})));
  EXPECT_NEAR(weights.take("proj.weight", {128, 128, 3}).std().item<double>(), std::sqrt(2.0 / (2 * 128 * 3)), 0.002);
}

}  // namespace
}  // namespace ditscope
