#pragma once
#include <ATen/core/Generator.h>
#include <ATen/core/Tensor.h>

#include <memory>
#include <vector>

#include "core/attention/session.h"
#include "core/pipeline/denoise.h"
#include "core/pipeline/generator.h"
#include "core/step_cache/session.h"

namespace ditscope {

/// What the save_ functions of Generator write; on the CPU.
struct RunTensors {
  at::Tensor prompt_embeds;           // (1,T,C)
  at::Tensor negative_prompt_embeds;  // (1,T,C), undefined without guidance
  at::Tensor latents;                 // (1,F,C,Y,X) as the last finished step left them
  std::vector<at::Tensor> latents_per_step;
};

/// A stopped run between two steps. Immutable: resuming copies it, so it can be resumed or decoded again.
struct PartialRun {
  Request request;
  DenoisingState state;
  at::Tensor text;  // (B,T,C), undefined where the run was stopped before it
  std::shared_ptr<const AttentionSession> attention;
  std::shared_ptr<const StepCacheSession> step_cache;  ///< null where the method has none
  RunResult result;  ///< what had been measured; without frames
  RunTensors tensors;
};

}  // namespace ditscope
