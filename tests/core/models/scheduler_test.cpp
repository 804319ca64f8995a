#include "core/schedulers/scheduler.h"

#include <ATen/ATen.h>
#include <ATen/CPUGeneratorImpl.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <nlohmann/json.hpp>

#include "core/checkpoint/json_file.h"
#include "core/checkpoint/safetensors.h"
#include "core/schedulers/cogvideox_schedule.h"
#include "kernels/error.h"

namespace ditscope {
namespace {

namespace fs = std::filesystem;

const fs::path kModules = fs::path(DITSCOPE_SOURCE_DIR) / "tests" / "golden" / "cogx_modules";

at::Generator seeded(std::uint64_t seed) {
  at::Generator generator = at::detail::createCPUGenerator();
  generator.set_current_seed(seed);
  return generator;
}

/// Largest difference over the largest magnitude; infinities and NaNs must stand where they stand.
double relative_error(const at::Tensor& ours, const at::Tensor& theirs) {
  if (ours.sizes() != theirs.sizes()) return std::numeric_limits<double>::infinity();
  if (at::allclose(ours, theirs, 0, 0, true)) return 0;
  return ((ours - theirs).abs().max() / theirs.abs().max()).item<double>();
}

class SchedulerParity : public ::testing::TestWithParam<const char*> {
 protected:
  void SetUp() override {
    const auto entry = load_json(kModules / "schedulers.json").at(GetParam());
    scheduler_ = make_scheduler(entry.at("config").dump());
    steps_ = entry.at("steps");
    golden_ = load_tensors(kModules / "schedulers.safetensors");
  }
  const at::Tensor& golden(const char* key) const { return golden_.at(std::string(GetParam()) + "." + key); }

  std::unique_ptr<Scheduler> scheduler_;
  int steps_ = 0;
  TensorMap golden_;
};
INSTANTIATE_TEST_SUITE_P(Walks, SchedulerParity,
                         ::testing::Values("ddim_2b", "dpm_5b", "dpm_one_step", "ddim_thirteen", "dpm_seven", "ddim_defaults",
                                           "dpm_defaults", "ddim_linear", "dpm_cosine", "ddim_trained"));

TEST_P(SchedulerParity, TimestepsAndAlphasMatchDiffusers) {
  scheduler_->set_timesteps(steps_);
  EXPECT_TRUE(at::equal(at::tensor(scheduler_->timesteps(), at::kLong), golden("timesteps")));
  const auto& schedule = dynamic_cast<const CogVideoXScheduler&>(*scheduler_);
  const at::Tensor alphas = at::tensor(schedule.alphas_cumprod(), at::kDouble);
  EXPECT_LT(relative_error(alphas, golden("alphas_cumprod")), 1e-7);
}

TEST_P(SchedulerParity, EveryStepMatchesDiffusersWithTheSameGenerator) {
  scheduler_->set_timesteps(steps_);
  at::Generator generator = seeded(77);
  at::Tensor sample = golden("sample"), previous;
  for (int i = 0; i < steps_; ++i) {
    const SchedulerStep step = scheduler_->step(golden("outputs")[i], i, sample, previous, generator);
    EXPECT_LT(relative_error(step.prev_sample, golden("walk")[i]), 2e-6) << "step " << i;
    EXPECT_LT(relative_error(step.pred_original_sample, golden("originals")[i]), 2e-6) << "step " << i;
    sample = step.prev_sample;
    previous = step.pred_original_sample;
  }
}

TEST_P(SchedulerParity, NoisingAndVelocityMatchDiffusers) {
  const at::Tensor noisy = scheduler_->add_noise(golden("clean"), golden("noise"), golden("at"));
  EXPECT_LT(relative_error(noisy, golden("noisy")), 1e-6);
  if (golden_.contains(std::string(GetParam()) + ".velocity")) {
    EXPECT_LT(relative_error(scheduler_->get_velocity(golden("clean"), golden("noise"), golden("at")), golden("velocity")), 1e-6);
  }
}

TEST_P(SchedulerParity, DrawsNoiseOnlyWhereItSaysSo) {
  scheduler_->set_timesteps(steps_);
  at::Generator generator = seeded(7);
  const at::Tensor before = generator.get_state().clone();
  scheduler_->step(golden("outputs")[0], 0, golden("sample"), {}, generator);
  EXPECT_EQ(at::equal(generator.get_state(), before), !scheduler_->stochastic());
}

TEST_P(SchedulerParity, ItsOwnJsonMakesTheSameScheduler) {
  const auto again = make_scheduler(scheduler_->to_json());
  EXPECT_STREQ(again->name(), scheduler_->name());
  EXPECT_EQ(again->to_json(), scheduler_->to_json());
  scheduler_->set_timesteps(steps_);
  again->set_timesteps(steps_);
  EXPECT_EQ(again->timesteps(), scheduler_->timesteps());
}

const char* const kZeroSnr = R"({"_class_name": "CogVideoXDDIMScheduler", "prediction_type": "v_prediction",
  "rescale_betas_zero_snr": true, "timestep_spacing": "trailing", "snr_shift_scale": 1.0})";

TEST(Scheduler, AClassNameReplacesTheOneOfTheFile) {
  EXPECT_STREQ(make_scheduler(kZeroSnr, "CogVideoXDPMScheduler")->name(), "CogVideoXDPMScheduler");
  EXPECT_STREQ(make_scheduler(kZeroSnr)->name(), "CogVideoXDDIMScheduler");
  for (const std::string& name : scheduler_names()) EXPECT_EQ(make_scheduler(kZeroSnr, name)->name(), name);
}

TEST(Scheduler, NoStepCountMakesATimestepBelowZero) {
  const auto scheduler = make_scheduler(kZeroSnr);
  for (int steps = 1; steps <= 1000; ++steps) {
    scheduler->set_timesteps(steps);
    ASSERT_EQ(scheduler->timesteps().size(), std::size_t(steps));
    ASSERT_EQ(scheduler->timesteps().front(), 999);
    ASSERT_GE(scheduler->timesteps().back(), 0);
  }
}

TEST(Scheduler, TheTrueVelocityLeadsBackToTheCleanSample) {
  // A model that knows the answer: each predicted x0 is the clean sample, and the walk ends there.
  for (const std::string& name : scheduler_names()) {
    const auto scheduler = make_scheduler(kZeroSnr, name);
    const auto& alphas = dynamic_cast<const CogVideoXScheduler&>(*scheduler).alphas_cumprod();
    at::Generator generator = seeded(3);
    const at::Tensor clean = at::randn({1, 2, 4, 3, 5}, generator);
    at::Tensor sample = at::randn({1, 2, 4, 3, 5}, generator), previous;
    scheduler->set_timesteps(10);
    for (int i = 0; i < 10; ++i) {
      const double a = alphas[scheduler->timesteps()[i]];
      const at::Tensor velocity = (std::sqrt(a) * sample - clean) / std::sqrt(1 - a);
      const SchedulerStep step = scheduler->step(velocity, i, sample, previous, generator);
      EXPECT_LT(relative_error(step.pred_original_sample, clean), 1e-5) << name << " step " << i;
      sample = step.prev_sample;
      previous = step.pred_original_sample;
    }
    EXPECT_LT(relative_error(sample, clean), 1e-5) << name;
  }
}

TEST(Scheduler, RefusesWhatItCannotDo) {
  const auto kind_of = [](auto&& call) {
    try {
      call();
    } catch (const Error& error) {
      return error.kind();
    }
    ADD_FAILURE() << "accepted";
    return ErrorKind::Cancelled;
  };
  EXPECT_EQ(kind_of([] { make_scheduler("{}"); }), ErrorKind::Corrupt);
  EXPECT_EQ(kind_of([] { make_scheduler("no json"); }), ErrorKind::Corrupt);
  EXPECT_EQ(kind_of([] { make_scheduler(kZeroSnr, "DDIMScheduler"); }), ErrorKind::Unsupported);
  EXPECT_EQ(kind_of([] { make_scheduler(R"({"_class_name": "CogVideoXDDIMScheduler", "beta_schedule": "sigmoid"})"); }),
            ErrorKind::Unsupported);
  EXPECT_EQ(kind_of([] { make_scheduler(R"({"_class_name": "CogVideoXDDIMScheduler", "beta_start": "x"})"); }),
            ErrorKind::Corrupt);
  EXPECT_EQ(kind_of([] { make_scheduler(R"({"_class_name": "CogVideoXDDIMScheduler", "trained_betas": [0.1]})"); }),
            ErrorKind::Unsupported);
  const auto scheduler = make_scheduler(kZeroSnr);
  EXPECT_EQ(kind_of([&] { scheduler->set_timesteps(0); }), ErrorKind::InvalidArgument);
  EXPECT_EQ(kind_of([&] { scheduler->set_timesteps(1001); }), ErrorKind::InvalidArgument);
  scheduler->set_timesteps(3);
  const at::Tensor x = at::zeros({1, 1, 1, 1, 1});
  EXPECT_EQ(kind_of([&] { scheduler->step(x, 3, x, {}, std::nullopt); }), ErrorKind::InvalidArgument);
}

}  // namespace
}  // namespace ditscope
