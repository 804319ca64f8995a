#include "core/schedulers/cogvideox_ddim.h"

#include <ATen/ATen.h>

#include <cmath>

namespace ditscope {

SchedulerStep CogVideoXDdimScheduler::step(const at::Tensor& model_output, int index, const at::Tensor& sample, const at::Tensor&,
                                           std::optional<at::Generator>) {
  const Alphas a = alphas_at(index);
  const at::Tensor x0 = predict_original(model_output, sample, a.now);
  const double keep = std::sqrt((1 - a.next) / (1 - a.now));
  return {keep * sample + (std::sqrt(a.next) - std::sqrt(a.now) * keep) * x0, x0};
}

}  // namespace ditscope
