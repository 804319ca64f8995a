#pragma once
#include "core/pipeline/generator.h"
#include "core/pipeline/loaded_model.h"
#include "core/pipeline/run_tensors.h"

namespace ditscope {

/// One run, from its prompt to its pixels. See generate.cpp: its sections are the stops of the way of data.
/// @param request  completed
RunResult generate(LoadedModel& model, const Request& request, Watch& watch);

/// Goes on where a stopped run stands. The result is that of a run that never stopped, bit for bit.
RunResult generate_rest(LoadedModel& model, const PartialRun& partial, Watch& watch);

/// Pixels of what a stopped run last predicted to be the clean video.
/// @throws Error{InvalidArgument} where it was stopped before its first step ended
RunResult decode_partial(LoadedModel& model, const PartialRun& partial, Watch& watch);

}  // namespace ditscope
