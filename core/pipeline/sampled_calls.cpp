#include "core/pipeline/sampled_calls.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>

#include <algorithm>

#include "core/attention/registry.h"
#include "core/attention/session.h"
#include "core/pipeline/loaded_model.h"
#include "core/pipeline/run_tensors.h"

namespace ditscope {

struct SampledCalls {
  int steps = 0;  ///< of the whole run
  std::vector<LayerCall> calls;
};

std::shared_ptr<const SampledCalls> sample_attention(LoadedModel& model, const PartialRun& from, const std::vector<int>& steps,
                                                     Watch& watch) {
  const Request& request = from.request;
  watch.stage = "sampling attention";
  const CogVideoXTransformer& transformer = model.transformer(watch);
  at::set_num_threads(request.threads);
  const auto scheduler = make_scheduler(model.configs().scheduler_json, request.scheduler);
  scheduler->set_timesteps(request.steps);
  std::vector<Branch> branches{Branch::Conditional};
  if (from.text.size(0) == 2) branches = {Branch::Unconditional, Branch::Conditional};

  auto sampled = std::make_shared<SampledCalls>();
  sampled->steps = request.steps;
  AttentionSession session({"full", {}}, request.steps,
                           [&](const LayerMeasure& m, const LayerCall& call, const BlockPlan&, const at::Tensor&) {
                             if (std::find(steps.begin(), steps.end(), m.step) == steps.end()) return;
                             LayerCall kept = call;
                             for (at::Tensor* tensor : {&kept.q, &kept.k, &kept.v}) *tensor = tensor->clone();
                             sampled->calls.push_back(std::move(kept));
                           });
  const DenoisingTask task{transformer, *scheduler, from.text, branches, request.guidance_scale, request.dynamic_cfg};
  DenoisingState state = from.state.fork();
  while (state.next_step <= std::min(steps.back(), request.steps - 1)) {
    denoise_step(task, state, session, [&](int, int) {
      watch.check();
      return false;
    });
  }
  return sampled;
}

double kept_ratio(const SampledCalls& sampled, const MethodChoice& choice) {
  const c10::InferenceMode inference;
  const std::unique_ptr<Method> method = make_method(choice, sampled.steps);
  double sum = 0;
  int planned = 0;
  for (const LayerCall& call : sampled.calls) {
    const BlockPlan plan = method->plan(call);
    if (plan.selections.empty()) continue;
    ++planned;
    if (plan.kind == StepKind::Sparse || plan.kind == StepKind::Refresh) {
      sum += plan.achieved - (plan.kind == StepKind::Refresh ? 1 : 0);
      continue;
    }
    for (const auto& selection : plan.selections) sum += selection->kept_ratio() / static_cast<double>(plan.selections.size());
  }
  return planned == 0 ? 1 : sum / planned;
}

}  // namespace ditscope
