#pragma once
#include <cmath>
#include <limits>
#include <string>
#include <vector>

#include "views/state/camera.h"

namespace ditscope::views {

enum class AxisScale { Linear, Log10, Log2 };

/// Value <-> px of one axis of a plot. `begin` is where `low` lies; of a vertical axis it is below `end`, hence the greater.
struct PlotAxis {
  double low = 0, high = 1;
  double begin = 0, end = 1;  ///< px
  AxisScale scale = AxisScale::Linear;

  double place(double value) const;  ///< px; NaN where the value has no place: not finite, or not above 0 on a logarithmic axis
  double value(double px) const;
  bool contains(double value) const { return value >= std::fmin(low, high) && value <= std::fmax(low, high); }
};

struct PlotTick {
  double value = 0;
  std::string text;
};

/// Round values inside the axis, at most `most` of them: 1, 2 and 5 times powers of ten; decades or octaves where a logarithmic
/// axis spans several.
std::vector<PlotTick> plot_ticks(const PlotAxis& axis, int most);
/// A number of an axis or a readout, as short as `step` (the distance to the next one) allows: "0.25", "1e-4", "120". "-" for NaN,
/// "Inf" and "-Inf".
std::string plot_number(double value, double step = 0);

/// A value per step 0, 1, 2 ...: NaN where none was measured. What lies between two measured steps is never drawn.
using Series = std::vector<double>;

/// Least and greatest of finite values.
struct Extent {
  double low = std::numeric_limits<double>::infinity(), high = -std::numeric_limits<double>::infinity();
  bool empty() const { return !(low <= high); }
  void add(double value);
  void add(const std::vector<double>& values);
};

/// An axis that shows an extent with a little room: 0..1 where it is empty, some width where it is one value. On a logarithmic
/// scale only what is above 0 counts.
/// @param room  free share of the axis at either end
PlotAxis fit_axis(const Extent& extent, AxisScale scale = AxisScale::Linear, double room = 0.06);
/// What bars are scaled to: the greatest value, unless a few stand far above all others (a first call that loads something); then
/// what nine in ten stay below, and a quarter more. 0 where nothing is finite.
double bar_top(const Series& values);

/// Where the values of a series lie; a point that is not finite where there is none, so that a line breaks there.
std::vector<Point> curve_points(const Series& series, const PlotAxis& x, const PlotAxis& y);
/// A horizontal piece from half a step before each value to half a step after it, joined where neighbours are measured.
std::vector<Point> staircase_points(const Series& series, const PlotAxis& x, const PlotAxis& y);
/// The step whose column a px lies in; -1 outside the axis. Steps lie in the middle of columns of width 1.
int step_at(const PlotAxis& x, double px, int steps);
/// Positions near the wanted ones, in their order, at least `gap` apart and inside low..high where that is possible: for labels
/// beside curves.
std::vector<double> spread(const std::vector<double>& wanted, double gap, double low, double high);

}  // namespace ditscope::views
