#include "views/inspect/canvas_shapes.h"

#include <algorithm>
#include <cmath>

namespace ditscope::views {
namespace {

bool finite(Point p) { return std::isfinite(p.x) && std::isfinite(p.y); }

void snap_pair(double& low, double& high, double ratio) {
  const double from = std::round(low * ratio) / ratio, to = std::round(high * ratio) / ratio;
  if (to <= from) return;
  low = from;
  high = to;
}

double snap_middle(double at, double width_px, double ratio) {
  return (std::round(at * ratio - width_px / 2) + width_px / 2) / ratio;
}

}  // namespace

Rect snapped(const Rect& rect, double ratio) {
  double left = rect.x, right = rect.right(), top = rect.y, bottom = rect.bottom();
  snap_pair(left, right, ratio);
  snap_pair(top, bottom, ratio);
  return {left, top, right - left, bottom - top};
}

double line_px(double width, double unit, double ratio) { return std::max(1.0, std::round(width * unit * ratio)); }

void snap_line(Point& from, Point& to, double width_px, double ratio) {
  if (std::abs(from.x - to.x) < 1e-6) from.x = to.x = snap_middle(from.x, width_px, ratio);
  if (std::abs(from.y - to.y) < 1e-6) from.y = to.y = snap_middle(from.y, width_px, ratio);
}

std::vector<double> dash_pattern(Dash dash) {
  if (dash == Dash::Dashed) return {4, 3};
  if (dash == Dash::Dotted) return {1.5, 2.5};
  return {};
}

std::vector<std::vector<Point>> finite_runs(const std::vector<Point>& points) {
  std::vector<std::vector<Point>> runs(1);
  for (const Point& point : points) {
    if (finite(point)) {
      runs.back().push_back(point);
    } else if (!runs.back().empty()) {
      runs.emplace_back();
    }
  }
  std::erase_if(runs, [](const std::vector<Point>& run) { return run.size() < 2; });
  return runs;
}

std::vector<std::vector<Point>> band_runs(const std::vector<Point>& low, const std::vector<Point>& high) {
  std::vector<std::vector<Point>> outlines;
  const std::size_t count = std::min(low.size(), high.size());
  for (std::size_t begin = 0; begin < count;) {
    std::size_t end = begin;
    while (end < count && finite(low[end]) && finite(high[end])) ++end;
    if (end - begin >= 2) {
      std::vector<Point> outline(low.begin() + static_cast<std::ptrdiff_t>(begin), low.begin() + static_cast<std::ptrdiff_t>(end));
      for (std::size_t i = end; i-- > begin;) outline.push_back(high[i]);
      outlines.push_back(std::move(outline));
    }
    begin = end + 1;
  }
  return outlines;
}

}  // namespace ditscope::views
