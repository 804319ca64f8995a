// What a transformer tells a block cache, and what it does with the answer.
#include <ATen/ATen.h>
#include <c10/core/InferenceMode.h>
#include <gtest/gtest.h>

#include <filesystem>

#include "core/checkpoint/checkpoint.h"
#include "core/checkpoint/json_file.h"
#include "core/checkpoint/safetensors.h"
#include "core/models/cogvideox_transformer.h"

namespace ditscope {
namespace {

const std::filesystem::path kFolder = std::filesystem::path(DITSCOPE_SOURCE_DIR) / "tests/golden/cogx_5b_dpm_dynamic_cfg";

/// Weights whose feed-forward layers add nothing, so that a block adds what its attention adds.
class AttentionOnly final : public WeightSource {
 public:
  explicit AttentionOnly(Checkpoint& weights) : weights_(weights) {}
  at::Tensor take(const std::string& key, at::IntArrayRef shape) override {
    const at::Tensor weight = weights_.take(key, shape);
    return key.find(".ff.net.2.") == std::string::npos ? weight : at::zeros_like(weight);
  }
  bool has(const std::string& key) const override { return weights_.has(key); }

 private:
  Checkpoint& weights_;
};

class Spy final : public BlockCache {
 public:
  int skip_from = -1, skip_to = -1;
  std::vector<int> entered, watched;
  std::vector<at::Tensor> states, added;
  at::Tensor modulated, time, left;

  int enter(const BlockPass& pass, int block, at::Tensor& x) override {
    if (block == 0) modulated = pass.modulated(), time = pass.time.clone();
    entered.push_back(block);
    states.push_back(x.clone());
    if (block != skip_from) return block;
    x = x + 1;
    return skip_to;
  }
  void leave(const BlockPass&, const at::Tensor& x) override { left = x.clone(); }
  bool watches_attention(const BlockPass&, int block) const override { return block == 1; }
  void attended(const BlockPass&, int block, const at::Tensor& x) override {
    watched.push_back(block);
    added.push_back(x.clone());
  }
};

class Counting final : public Attention {
 public:
  TokenOrder preferred_order(const TokenLayout&) const override { return TokenOrder::FrameMajor; }
  at::Tensor attend(const LayerCall& call) override {
    layers.push_back(call.layer);
    return dense_.attend(call);
  }
  std::vector<int> layers;

 private:
  DenseAttention dense_;
};

class AskedTransformer : public ::testing::Test {
 protected:
  at::Tensor run(BlockCache* cache, Counting& attention) {
    const c10::InferenceMode inference;  // states are overwritten in place
    DenoiserCall call;
    call.latents = golden_.at("module.latents");
    call.text = golden_.at("module.text");
    call.timestep = golden_.at("module.timestep");
    call.branches.assign(static_cast<std::size_t>(call.latents.size(0)), Branch::Conditional);
    call.cache = cache;
    return model_.forward(call, attention);
  }

  CogVideoXConfig config_ = CogVideoXConfig::from_json(read_file(kFolder / "transformer" / "config.json"));
  Checkpoint weights_{kFolder / "transformer"};
  AttentionOnly attention_only_{weights_};
  CogVideoXTransformer model_{config_, attention_only_};
  TensorMap golden_ = load_tensors(kFolder / "goldens.safetensors");
  std::vector<int> all_ = [this] {
    std::vector<int> blocks;
    for (int i = 0; i < config_.num_layers; ++i) blocks.push_back(i);
    return blocks;
  }();
};

TEST_F(AskedTransformer, GivesTheSameBitsToACacheThatOnlyLooks) {
  Counting without, with;
  Spy spy;
  const at::Tensor plain = run(nullptr, without), watched = run(&spy, with);
  EXPECT_TRUE(at::equal(plain, watched));
  EXPECT_EQ(spy.entered, all_);
  EXPECT_EQ(with.layers, without.layers);
  EXPECT_EQ(spy.modulated.sizes(), spy.left.sizes());
  EXPECT_EQ(spy.time.sizes(), (std::vector<std::int64_t>{spy.left.size(0), config_.time_embed_dim}));
}

TEST_F(AskedTransformer, TellsWhatTheAttentionOfABlockAdds) {
  ASSERT_GT(config_.num_layers, 1);
  Counting attention;
  Spy spy;
  run(&spy, attention);
  ASSERT_EQ(spy.watched, std::vector<int>{1});
  const at::Tensor after = config_.num_layers > 2 ? spy.states[2] : spy.left;
  EXPECT_TRUE(at::allclose(after - spy.states[1], spy.added[0], 1e-4, 1e-5));
  EXPECT_GT(spy.added[0].abs().mean().item<double>(), 1e-4);
}

TEST_F(AskedTransformer, LeavesOutTheBlocksThatACacheSays) {
  Counting whole_attention, attention, none;
  Spy whole, spy, all;
  run(&whole, whole_attention);
  spy.skip_from = 0, spy.skip_to = 1;
  run(&spy, attention);
  EXPECT_EQ(spy.entered.front(), 0);
  EXPECT_EQ(attention.layers, std::vector<int>(all_.begin() + 1, all_.end()));
  all.skip_from = 0, all.skip_to = config_.num_layers;
  run(&all, none);
  EXPECT_TRUE(none.layers.empty());
  EXPECT_EQ(all.entered, std::vector<int>{0});
  EXPECT_TRUE(at::equal(all.left, whole.states[0] + 1)) << "what the cache put in their place";
}

}  // namespace
}  // namespace ditscope
