#include "views/inspect/timeline_range.h"

#include <algorithm>
#include <cmath>

namespace ditscope::views {

TimelineRange TimelineRange::clamped(int steps) const {
  if (!(last > first)) return {0, static_cast<double>(std::max(steps, 1))};
  const double least = std::min(2.0, static_cast<double>(std::max(steps, 1)));
  const double width = std::clamp(last - first, least, static_cast<double>(std::max(steps, 1)));
  const double from = std::clamp(first, 0.0, std::max(steps, 1) - width);
  return {from, from + width};
}

double TimelineRange::place(double column, const Rect& lane) const { return lane.x + (column - first) / (last - first) * lane.width; }

double TimelineRange::column(double px, const Rect& lane) const {
  return lane.width > 0 ? first + (px - lane.x) / lane.width * (last - first) : first;
}

int TimelineRange::step_at(double px, const Rect& lane, int steps) const {
  if (px < lane.x || px >= lane.right()) return -1;
  const int step = static_cast<int>(std::floor(column(px, lane)));
  return step >= 0 && step < steps ? step : -1;
}

TimelineRange zoom_timeline(const TimelineRange& range, double column, double notches, int steps) {
  const TimelineRange now = range.clamped(steps);
  const double least = std::min(2.0, static_cast<double>(std::max(steps, 1)));
  const double width = std::clamp((now.last - now.first) / std::exp2(notches / 8), least, static_cast<double>(std::max(steps, 1)));
  const double share = (column - now.first) / (now.last - now.first);
  const double from = column - share * width;
  return TimelineRange{from, from + width}.clamped(steps);
}

TimelineRange pan_timeline(const TimelineRange& range, double share, int steps) {
  const TimelineRange now = range.clamped(steps);
  const double by = share * (now.last - now.first);
  return TimelineRange{now.first + by, now.last + by}.clamped(steps);
}

}  // namespace ditscope::views
