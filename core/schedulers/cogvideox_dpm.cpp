#include "core/schedulers/cogvideox_dpm.h"

#include <ATen/ATen.h>

#include <cmath>

namespace ditscope {
namespace {

/// Half the logarithm of the signal-to-noise ratio; infinite where all is noise or all is signal, and meant to be.
double log_snr(double alpha) {
  return std::log(std::sqrt(alpha / (1 - alpha)));
}

/// Noise like `sample`; a CPU generator draws on the CPU whatever the device, so one seed means one noise everywhere.
at::Tensor draw(const at::Tensor& sample, const std::optional<at::Generator>& generator) {
  const c10::Device device = generator ? generator->device() : sample.device();
  return at::randn(sample.sizes(), generator, at::TensorOptions().dtype(sample.scalar_type()).device(device)).to(sample.device());
}

}  // namespace

SchedulerStep CogVideoXDpmScheduler::step(const at::Tensor& model_output, int index, const at::Tensor& sample,
                                          const at::Tensor& previous_x0, std::optional<at::Generator> generator) {
  const Alphas a = alphas_at(index);
  const at::Tensor x0 = predict_original(model_output, sample, a.now);
  const double h = log_snr(a.next) - log_snr(a.now);
  const double keep = std::sqrt((1 - a.next) / (1 - a.now)) * std::exp(-h);
  const double pull = std::expm1(-2 * h) * std::sqrt(a.next);
  const double spread = std::sqrt(1 - a.next) * std::sqrt(1 - std::exp(-2 * h));

  at::Tensor noise = draw(sample, generator), direction = x0;
  if (previous_x0.defined() && !a.next_is_final) {
    const double r = (log_snr(a.now) - log_snr(a.back)) / h;
    direction = (1 + 1 / (2 * r)) * x0 - 1 / (2 * r) * previous_x0;
    noise = draw(sample, generator);
  }
  return {keep * sample - pull * direction + spread * noise, x0};
}

}  // namespace ditscope
