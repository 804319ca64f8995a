#pragma once
#include <memory>
#include <vector>

#include "core/attention/selection.h"
#include "core/capture/records.h"
#include "core/media/frames.h"

namespace ditscope {

/// What a selection keeps, as captures store it: one plan where all heads share it, else one a head.
std::vector<std::shared_ptr<const CapturePlan>> selection_plans(const Selection& selection, std::int64_t heads, std::int64_t tokens);

/// Frames as bytes (F,3,Y,X).
CaptureTensor stored_frames(const char* kind, int step, const Frames& frames);

}  // namespace ditscope
