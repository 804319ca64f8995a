#pragma once
#include "core/schedulers/cogvideox_schedule.h"

namespace ditscope {

/// Deterministic DDIM on CogVideoX's schedule (diffusers' CogVideoXDDIMScheduler):
/// k = sqrt((1-a')/(1-a)); x' = k x + (sqrt(a') - sqrt(a) k) x0.
class CogVideoXDdimScheduler final : public CogVideoXScheduler {
 public:
  using CogVideoXScheduler::CogVideoXScheduler;
  const char* name() const override { return "CogVideoXDDIMScheduler"; }
  bool stochastic() const override { return false; }
  SchedulerStep step(const at::Tensor& model_output, int index, const at::Tensor& sample, const at::Tensor& previous_x0,
                     std::optional<at::Generator> generator) override;
};

}  // namespace ditscope
