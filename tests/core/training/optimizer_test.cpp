#include "core/training/optimizer.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <cmath>

#include "core/training/orthogonal_update.h"

namespace ditscope {
namespace {

at::Tensor leaf(const at::Tensor& value) { return value.clone().requires_grad_(true); }

// AdamW written out in float64 after Loshchilov & Hutter 2019, Alg. 2, one parameter at a time.
TEST(Optimizer, FollowsAdamWAndItsMovingAverage) {
  const auto start = at::tensor({0.5, -2.0, 3.0}, at::kFloat);
  const auto weight = leaf(start);
  const Optimizer::Options options{.beta1 = 0.9, .beta2 = 0.99, .epsilon = 1e-8, .weight_decay = 0.1, .clip_norm = 1e9, .ema_decay = 0.5};
  Optimizer optimizer({"w"}, {weight}, options);
  auto expected = start.to(at::kDouble), first = at::zeros(3, at::kDouble), second = at::zeros(3, at::kDouble);
  auto average = expected.clone();
  for (int step = 1; step <= 5; ++step) {
    (weight * weight * weight).sum().backward();
    const auto gradient = 3 * expected * expected;
    optimizer.step(0.01);
    first = 0.9 * first + 0.1 * gradient;
    second = 0.99 * second + 0.01 * gradient * gradient;
    const auto update = (first / (1 - std::pow(0.9, step))) / ((second / (1 - std::pow(0.99, step))).sqrt() + 1e-8);
    expected = expected - 0.01 * (update + 0.1 * expected);
    const double decay = std::min(0.5, (1.0 + step) / (10.0 + step));
    average = decay * average + (1 - decay) * expected;
  }
  EXPECT_TRUE(at::allclose(weight.detach().to(at::kDouble), expected, 1e-5, 1e-6));
  EXPECT_TRUE(at::allclose(optimizer.average().at("w").to(at::kDouble), average, 1e-5, 1e-6));
}

TEST(Optimizer, ClipsTheNormOfAllGradientsTogether) {
  const auto a = leaf(at::zeros(1)), b = leaf(at::zeros(1));
  Optimizer optimizer({"a", "b"}, {a, b}, {.clip_norm = 1.0});
  (3 * a + 4 * b).sum().backward();
  EXPECT_NEAR(optimizer.step(0.1), 5.0, 1e-5);
  // Adam's first step is scale-free; the second moments show the clipped gradients 0.6 and 0.8.
  const auto state = optimizer.state();
  EXPECT_NEAR(state.at("first/a").item<double>(), 0.1 * 0.6, 1e-5);
  EXPECT_NEAR(state.at("first/b").item<double>(), 0.1 * 0.8, 1e-5);
}

TEST(Optimizer, LeavesTheWeightsAloneOnAGradientThatIsNotFinite) {
  const auto weight = leaf(at::ones(2));
  Optimizer optimizer({"w"}, {weight}, {});
  (weight * std::numeric_limits<float>::infinity()).sum().backward();
  optimizer.step(0.1);
  EXPECT_TRUE(at::equal(weight.detach(), at::ones(2)));
  EXPECT_EQ(optimizer.steps(), 0);
}

TEST(Optimizer, GoesOnFromItsStateToTheSameBits) {
  const auto run = [](int steps, int restart_at) {
    auto weight = leaf(at::arange(4, at::kFloat));
    auto optimizer = std::make_unique<Optimizer>(std::vector<std::string>{"w"}, std::vector<at::Tensor>{weight}, Optimizer::Options{});
    for (int i = 0; i < steps; ++i) {
      if (i == restart_at) {
        std::map<std::string, at::Tensor> state;
        for (const auto& [key, tensor] : optimizer->state()) state[key] = tensor.clone();
        weight = leaf(at::full(4, 9.0F));
        optimizer = std::make_unique<Optimizer>(std::vector<std::string>{"w"}, std::vector<at::Tensor>{weight}, Optimizer::Options{});
        EXPECT_TRUE(optimizer->restore(state));
      }
      (weight.sin() * static_cast<double>(i + 1)).sum().backward();
      optimizer->step(0.05);
    }
    return at::cat({weight.detach(), optimizer->average().at("w")});
  };
  EXPECT_TRUE(at::equal(run(6, -1), run(6, 3)));
}

TEST(Optimizer, RefusesTheStateOfOtherWeights) {
  Optimizer small({"w"}, {leaf(at::ones(2))}, {}), large({"w"}, {leaf(at::ones(3))}, {});
  EXPECT_FALSE(large.restore(small.state()));
}

// Singular values of an update, by LibTorch's SVD in float64.
at::Tensor singular_values(const at::Tensor& update) {
  return at::linalg_svdvals(update.reshape({update.size(0), -1}).to(at::kDouble), std::nullopt);
}

TEST(OrthogonalUpdate, BringsSingularValuesNearOneAndKeepsTheDirections) {
  at::manual_seed(3);
  // Wide, tall, square, a convolution; gradients of very different size.
  for (const auto& shape : std::vector<std::vector<std::int64_t>>{{16, 64}, {96, 24}, {32, 32}, {16, 8, 3, 3, 3}}) {
    const auto gradient = at::randn(shape) * 1e-4;
    const auto update = orthogonal_updates({gradient})[0];
    ASSERT_EQ(update.sizes(), gradient.sizes());
    const auto rows = shape[0], columns = gradient.numel() / shape[0];
    const auto values = singular_values(update) / (0.2 * std::sqrt(static_cast<double>(std::max(rows, columns))));
    EXPECT_GT(values.min().item<double>(), 0.3) << at::IntArrayRef(shape);
    EXPECT_LT(values.max().item<double>(), 1.3) << at::IntArrayRef(shape);
    // U and V are the gradient's: what is left of U^T update V off the diagonal is rounding.
    const auto [u, s, vh] = at::linalg_svd(gradient.reshape({rows, columns}).to(at::kDouble), false, std::nullopt);
    const auto core = u.t().mm(update.reshape({rows, columns}).to(at::kDouble)).mm(vh.t());
    EXPECT_LT((core - core.diag().diag()).norm().item<double>(), 0.05 * core.norm().item<double>());
  }
}

TEST(OrthogonalUpdate, ComputesUpdatesOfOneShapeTogetherAsAlone) {
  at::manual_seed(4);
  const auto a = at::randn({12, 20}), b = at::randn({12, 20}), c = at::randn({9, 9});
  const auto together = orthogonal_updates({a, c, b});
  EXPECT_TRUE(at::allclose(together[0], orthogonal_updates({a})[0], 2e-2, 2e-2));
  EXPECT_TRUE(at::allclose(together[1], orthogonal_updates({c})[0], 2e-2, 2e-2));
  EXPECT_TRUE(at::allclose(together[2], orthogonal_updates({b})[0], 2e-2, 2e-2));
}

TEST(OrthogonalUpdate, IsForHiddenMatricesOnly) {
  EXPECT_TRUE(takes_orthogonal_update("transformer/transformer_blocks.0.attn1.to_q.weight", at::zeros({256, 256})));
  EXPECT_TRUE(takes_orthogonal_update("decoder.mid_block.resnets.0.conv1.conv.weight", at::zeros({64, 64, 3, 3, 3})));
  EXPECT_FALSE(takes_orthogonal_update("text/shared.weight", at::zeros({200, 128})));
  EXPECT_FALSE(takes_orthogonal_update("decoder.conv_out.conv.weight", at::zeros({3, 16, 3, 3, 3})));
  EXPECT_FALSE(takes_orthogonal_update("norm_final.weight", at::zeros({256})));
}

// Muon written out: momentum, Nesterov, decay, the orthogonal update.
TEST(Optimizer, MovesHiddenMatricesAlongOrthogonalUpdates) {
  at::manual_seed(5);
  const auto start = at::randn({16, 24});
  const auto weight = leaf(start);
  Optimizer optimizer({"blocks.0.to_q.weight"}, {weight}, {.weight_decay = 0.1, .momentum = 0.9, .clip_norm = 1e9});
  auto expected = start.clone(), momentum = at::zeros({16, 24});
  for (int step = 0; step < 3; ++step) {
    const auto target = at::randn({16, 24});
    (weight - target).square().sum().backward();
    const auto gradient = 2 * (expected - target);
    optimizer.step(0.02);
    momentum = 0.9 * momentum + gradient;
    expected = expected * (1 - 0.02 * 0.1) - 0.02 * orthogonal_updates({gradient + 0.9 * momentum})[0];
  }
  EXPECT_TRUE(at::allclose(weight.detach(), expected, 1e-3, 1e-3));
  EXPECT_EQ(optimizer.state().count("second/blocks.0.to_q.weight"), 0);
}

TEST(LearningRate, RisesThenFallsToItsLastFraction) {
  EXPECT_NEAR(learning_rate_at(0.05, 1.0, 0.1, 0.02), 0.5, 1e-12);
  EXPECT_NEAR(learning_rate_at(0.1, 1.0, 0.1, 0.02), 1.0, 1e-12);
  EXPECT_NEAR(learning_rate_at(1.0, 1.0, 0.1, 0.02), 0.02, 1e-12);
}

}  // namespace
}  // namespace ditscope
