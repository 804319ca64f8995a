#pragma once
#include <vector>

#include "views/inspect/canvas.h"

namespace ditscope::views {

// What every canvas that makes pixels does alike, so that a picture on the screen and the same picture in a file agree.

/// Edges moved to whole device px; an edge pair that would fall together stays where it is.
Rect snapped(const Rect& rect, double ratio);
/// Device px of a line that is `length` units wide: at least one, whole.
double line_px(double width, double unit, double ratio);
/// The middle of a horizontal or vertical line moved so that its edges lie on device px. Any other line stays.
void snap_line(Point& from, Point& to, double width_px, double ratio);
/// On and off in units of length; empty: solid.
std::vector<double> dash_pattern(Dash dash);
/// The stretches between points that are not finite; single points are left out.
std::vector<std::vector<Point>> finite_runs(const std::vector<Point>& points);
/// The closed outline of a band: where both curves are finite.
std::vector<std::vector<Point>> band_runs(const std::vector<Point>& low, const std::vector<Point>& high);

}  // namespace ditscope::views
