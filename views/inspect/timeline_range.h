#pragma once
#include "views/state/camera.h"

namespace ditscope::views {

/// Which steps a timeline shows: from `first` to `last`, in columns of width 1 that begin at their number. At least two columns wide,
/// or all of them.
struct TimelineRange {
  double first = 0, last = 0;  ///< last <= first: all steps

  /// All of `steps` where nothing else was chosen; else inside 0 .. steps.
  TimelineRange clamped(int steps) const;
  double place(double column, const Rect& lane) const;  ///< px of the left edge of a column
  double column(double px, const Rect& lane) const;
  int step_at(double px, const Rect& lane, int steps) const;  ///< -1 outside
};

/// Zooms by 2^(notches/8) about a column, which stays where it is.
TimelineRange zoom_timeline(const TimelineRange& range, double column, double notches, int steps);
/// Moves by a share of what is shown.
TimelineRange pan_timeline(const TimelineRange& range, double share, int steps);

}  // namespace ditscope::views
