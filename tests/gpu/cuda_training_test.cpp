// The trainer on a GPU: every kind of layer backwards, the fused optimiser, autocast, the state and the model folder it writes.
#include <ATen/autocast_mode.h>

#include <cmath>

#include "core/checkpoint/safetensors.h"
#include "core/training/bundled_model.h"
#include "core/training/trainable_weights.h"
#include "core/training/trainer.h"
#include "core/training/training_run.h"
#include "tests/gpu/device_fixture.h"
#include "tests/support/temporary_folder.h"

namespace ditscope {
namespace {

class CudaTrainer : public test::OnDevice, public ::testing::WithParamInterface<bool> {
 protected:
  TrainingOptions options(const std::filesystem::path& folder, std::int64_t steps) const {
    TrainingOptions options;
    options.folder = folder;
    options.steps = steps;
    options.device = test::device_name();
    options.bfloat16 = GetParam();
    return options;
  }
  TrainingReport watch() {
    return [this](const TrainingProgress& progress) {
      if (progress.loss > 0) losses_.push_back(progress.loss);
    };
  }

  std::vector<double> losses_;
  test::TemporaryFolder folder_;
};
INSTANTIATE_TEST_SUITE_P(Autocast, CudaTrainer, ::testing::Values(false, true),
                         [](const auto& info) { return info.param ? "bfloat16" : "float32"; });

TEST_P(CudaTrainer, TakesStepsGoesOnAndWritesAModel) {
  const auto never = [] { return false; };
  train_vae(options(folder_ / "vae", 1), watch(), never);
  ASSERT_EQ(losses_.size(), 1);
  EXPECT_TRUE(std::isfinite(losses_[0]));

  TransformerTrainingOptions transformer;
  static_cast<TrainingOptions&>(transformer) = options(folder_ / "dit", 2);
  transformer.vae = folder_ / "vae/vae";
  transformer.phases = {{1, 64, 2, 0.5, 0.5}, {5, 64, 1, 0.5, 0.5}};
  train_transformer(transformer, watch(), never);
  transformer.steps = 3;
  train_transformer(transformer, watch(), never);
  const TensorMap state = load_tensors(folder_ / "dit/state.safetensors");
  EXPECT_EQ(state.at("steps").item<std::int64_t>(), 3);
  for (const auto& [key, tensor] : state) EXPECT_TRUE(at::isfinite(tensor).all().item<bool>()) << key;
  EXPECT_TRUE(std::filesystem::exists(folder_ / "dit/model/transformer/diffusion_pytorch_model.safetensors"));
}

// The whole VAE forwards and backwards from the same weights and the same clip: float32 as the CPU does it, bfloat16 near it.
TEST_P(CudaTrainer, GradientsOfTheVaeAreThoseOfTheCpu) {
  const auto gradients = [&](at::Device device, bool bfloat16) {
    TrainableWeights weights(7, device);
    const CogVideoXVae vae(bundled_vae_config(), weights, true);
    at::Generator generator = at::detail::createCPUGenerator(3);
    const at::Tensor video = at::rand({1, 3, 9, 32, 32}, generator).mul(2).sub(1).to(device);  // (B,3,F,Y,X)
    at::Tensor loss;
    {
      Bfloat16Scope scope(bfloat16, device.is_cuda());
      const at::Tensor mean = vae.encode_moments(video).chunk(2, 1)[0];
      loss = (vae.decode(mean).to(at::kFloat) - video).square().mean();
    }
    loss.backward();
    std::vector<at::Tensor> flat;
    for (const at::Tensor& weight : weights.tensors()) {
      EXPECT_EQ(weight.grad().defined(), true);
      flat.push_back(weight.grad().flatten().to(at::kCPU));
    }
    return at::cat(flat);
  };
  test::expect_below("gradients_rms", test::relative_rms(gradients(device_, GetParam()), gradients(at::kCPU, false)),
                     GetParam() ? 0.2 : 1e-3);
}

}  // namespace
}  // namespace ditscope
