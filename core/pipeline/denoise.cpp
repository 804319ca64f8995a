#include "core/pipeline/denoise.h"

#include <ATen/ATen.h>

#include <cmath>
#include <numbers>

namespace ditscope {

DenoisingState DenoisingState::fork() const {
  DenoisingState copy = *this;
  if (generator.defined()) copy.generator = generator.clone();
  return copy;
}

double guidance_at(double scale, bool dynamic, int steps, std::int64_t timestep) {
  if (!dynamic) return scale;
  const double progress = (static_cast<double>(steps) - static_cast<double>(timestep)) / steps;
  return 1 + scale * (1 - std::cos(std::numbers::pi * std::pow(progress, 5.0))) / 2;
}

at::Tensor predict(const DenoisingTask& task, const at::Tensor& latents, int step, Attention& attention,
                   const std::function<bool(int, int)>& on_layer, BlockCache* cache) {
  const std::vector<std::int64_t>& timesteps = task.scheduler.timesteps();
  const at::Tensor batch = task.branches.size() == 2 ? at::cat({latents, latents}) : latents;  // (B,F,C,Y,X)
  DenoiserCall call;
  call.latents = task.scheduler.scale_model_input(batch, step);
  call.timestep = at::full({batch.size(0)}, timesteps[step], batch.options().dtype(at::kLong));  // (B)
  call.text = task.text;
  call.branches = task.branches;
  call.step = step;
  call.steps = static_cast<int>(timesteps.size());
  call.on_layer = on_layer;
  call.cache = cache;
  return task.transformer.forward(call, attention).to(at::kFloat);  // (B,F,C,Y,X)
}

void denoise_step(const DenoisingTask& task, DenoisingState& state, Attention& attention,
                  const std::function<bool(int, int)>& on_layer, BlockCache* cache) {
  const int step = state.next_step;
  const std::vector<std::int64_t>& timesteps = task.scheduler.timesteps();
  const int steps = static_cast<int>(timesteps.size());
  const bool guided = task.branches.size() == 2;
  at::Tensor prediction = predict(task, state.latents, step, attention, on_layer, cache);  // (B,F,C,Y,X)

  if (guided) {
    const double scale = guidance_at(task.guidance_scale, task.dynamic_cfg, steps, timesteps[step]);
    const at::Tensor unconditional = prediction.narrow(0, 0, 1), conditional = prediction.narrow(0, 1, 1);  // (1,F,C,Y,X)
    prediction = unconditional + scale * (conditional - unconditional);
  }

  const SchedulerStep next = task.scheduler.step(prediction, step, state.latents, state.predicted_clean, state.generator);
  state.latents = next.prev_sample.to(state.latents.scalar_type());
  state.predicted_clean = next.pred_original_sample;
  state.next_step = step + 1;
}

}  // namespace ditscope
