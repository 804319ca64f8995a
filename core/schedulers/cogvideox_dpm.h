#pragma once
#include "core/schedulers/cogvideox_schedule.h"

namespace ditscope {

/// DPM-Solver++ (2M) as a stochastic equation on CogVideoX's schedule (diffusers' CogVideoXDPMScheduler; Lu et al. 2022,
/// arXiv:2211.01095). With l = log sqrt(a/(1-a)), h = l' - l, r = (l - l_back) / h:
/// x' = sqrt((1-a')/(1-a)) e^-h x - sqrt(a') expm1(-2h) d + sqrt((1-a')(1-e^-2h)) noise, where d = x0 at the first and last step,
/// else (1 + 1/2r) x0 - 1/2r x0_back.
///
/// Draws as diffusers does: once at the first and last step, twice in between, of which the first draw is thrown away.
class CogVideoXDpmScheduler final : public CogVideoXScheduler {
 public:
  using CogVideoXScheduler::CogVideoXScheduler;
  const char* name() const override { return "CogVideoXDPMScheduler"; }
  bool stochastic() const override { return true; }
  SchedulerStep step(const at::Tensor& model_output, int index, const at::Tensor& sample, const at::Tensor& previous_x0,
                     std::optional<at::Generator> generator) override;
};

}  // namespace ditscope
