#pragma once
#include <string>
#include <vector>

#include "core/media/frames.h"

namespace ditscope::views {

/// Mean |f(t) - f(t-1)| over pixels and channels, 0..1: motion and flicker together. Value t belongs to frame t; the first is 0.
std::vector<double> temporal_change(const Frames& frames);

/// Round tick values inside low..high, at most `most` of them and at least two where the range is not empty.
std::vector<double> ticks(double low, double high, int most);

}  // namespace ditscope::views
