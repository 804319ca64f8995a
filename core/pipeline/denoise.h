#pragma once
#include <ATen/core/Generator.h>
#include <ATen/core/Tensor.h>

#include <functional>
#include <vector>

#include "core/models/cogvideox_transformer.h"
#include "core/schedulers/scheduler.h"

namespace ditscope {

/// The denoising loop between two steps: all that the next step depends on, apart from what the attention method remembers.
struct DenoisingState {
  int next_step = 0;
  at::Tensor latents;          // (1,F,C,Y,X)
  at::Tensor predicted_clean;  // (1,F,C,Y,X) of the step before, undefined at first
  at::Generator generator;     ///< the run's; drawn from by stochastic schedulers

  /// A state that goes its own way: its generator is a copy. Tensors are shared, for no step writes into them.
  DenoisingState fork() const;
};

/// What stays the same in every step.
struct DenoisingTask {
  const CogVideoXTransformer& transformer;
  Scheduler& scheduler;
  at::Tensor text;               // (B,T,C), unconditional first
  std::vector<Branch> branches;  // (B)
  double guidance_scale = 6;
  bool dynamic_cfg = false;
};

/// x_t -> x_{t-1}: both guidance branches in one batch, guidance, then the scheduler.
///
/// `state` changes only when the step ends; a step that is stopped leaves it as it was.
/// @param on_layer  called before each layer; true stops the step with Error{Cancelled}
/// @param cache     asked around the transformer's blocks; null: all are computed
/// @see diffusers 0.42.1, CogVideoXPipeline.__call__, "8. Denoising loop"
void denoise_step(const DenoisingTask& task, DenoisingState& state, Attention& attention,
                  const std::function<bool(int layer, int layers)>& on_layer, BlockCache* cache = nullptr);

/// The first half of a step: what the transformer says of all branches. @throws as denoise_step()
at::Tensor predict(const DenoisingTask& task, const at::Tensor& latents, int step, Attention& attention,
                   const std::function<bool(int layer, int layers)>& on_layer,
                   BlockCache* cache = nullptr);  // (B,F,C,Y,X) float32

/// The guidance scale at a timestep; with `dynamic`, 1 + s (1 - cos(pi ((S - t) / S)^5)) / 2 as CogVideoX has it, S the steps.
double guidance_at(double scale, bool dynamic, int steps, std::int64_t timestep);

}  // namespace ditscope
