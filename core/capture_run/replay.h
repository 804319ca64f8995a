#pragma once
#include "core/capture/exact_attention.h"
#include "core/pipeline/loaded_model.h"

namespace ditscope {

/// One call of a captured run again: from the latents stored for the step (and for those before it that rebuild what the method
/// remembers) through the transformer to that layer. The same program on the same kind of machine gives the same bits.
/// @param request  of the run, completed, with the model that is loaded
AttentionOperands replay_call(LoadedModel& model, const Request& request, const CaptureReader& capture, int run_id, int step, int layer,
                              int branch, Watch& watch);

}  // namespace ditscope
