#include "views/inspect/plot_axis.h"

#include <algorithm>
#include <cstdio>
#include <numeric>

namespace ditscope::views {
namespace {

constexpr double kNone = std::numeric_limits<double>::quiet_NaN();

double bent(double value, AxisScale scale) {
  if (!std::isfinite(value)) return kNone;
  if (scale == AxisScale::Linear) return value;
  if (value <= 0) return kNone;
  return scale == AxisScale::Log10 ? std::log10(value) : std::log2(value);
}

double straight(double value, AxisScale scale) {
  if (scale == AxisScale::Linear) return value;
  return scale == AxisScale::Log10 ? std::pow(10.0, value) : std::exp2(value);
}

/// Powers of 10 or 2, every n-th of them so that there are at most `most`.
std::vector<PlotTick> power_ticks(const PlotAxis& axis, int most) {
  const double low = bent(axis.low, axis.scale), high = bent(axis.high, axis.scale);
  const int first = static_cast<int>(std::ceil(low - 1e-9)), last = static_cast<int>(std::floor(high + 1e-9));
  const int stride = std::max(1, (last - first + most) / std::max(most, 1));
  std::vector<PlotTick> ticks;
  for (int power = first; power <= last; power += stride) {
    const double value = straight(power, axis.scale);
    ticks.push_back({value, plot_number(value, value)});
  }
  return ticks;
}

}  // namespace

double PlotAxis::place(double value) const {
  const double at = bent(value, scale), from = bent(low, scale), to = bent(high, scale);
  if (!(to != from)) return kNone;
  return begin + (at - from) / (to - from) * (end - begin);
}

double PlotAxis::value(double px) const {
  const double from = bent(low, scale), to = bent(high, scale);
  if (end == begin) return low;
  return straight(from + (px - begin) / (end - begin) * (to - from), scale);
}

std::string plot_number(double value, double step) {
  if (std::isnan(value)) return "-";
  if (std::isinf(value)) return value > 0 ? "Inf" : "-Inf";
  char text[48];
  const double size = std::fabs(value);
  if (size != 0 && (size < 9.995e-4 || size >= 1e5)) {
    std::snprintf(text, sizeof text, "%.1e", value);
    std::string short_form = text;  // 1.0e-04 -> 1e-4
    const std::size_t e = short_form.find('e');
    std::string mantissa = short_form.substr(0, e);
    if (mantissa.size() > 2 && mantissa.compare(mantissa.size() - 2, 2, ".0") == 0) mantissa.resize(mantissa.size() - 2);
    return mantissa + "e" + std::to_string(std::atoi(short_form.c_str() + e + 1));
  }
  int digits = 3;
  if (step > 0) {
    digits = std::clamp(static_cast<int>(std::ceil(-std::log10(step) - 1e-9)), 0, 6);
  } else if (size >= 1000) {
    digits = 0;
  } else if (size >= 100) {
    digits = 1;
  } else if (size >= 10) {
    digits = 2;
  }
  std::snprintf(text, sizeof text, "%.*f", digits, value == 0 ? 0.0 : value);
  return text;
}

std::vector<PlotTick> plot_ticks(const PlotAxis& axis, int most) {
  if (most < 1 || !std::isfinite(axis.low) || !std::isfinite(axis.high) || !(axis.high > axis.low)) return {};
  if (axis.scale == AxisScale::Log10 && axis.high / axis.low >= 50) return power_ticks(axis, most);
  if (axis.scale == AxisScale::Log2 && axis.high / axis.low >= 6) return power_ticks(axis, most);
  // The finest of 1, 2 and 5 times powers of ten that does not give too many.
  const double width = axis.high - axis.low;
  double step = std::pow(10.0, std::floor(std::log10(width / (most + 1))));
  const auto count = [&](double by) { return std::floor(axis.high / by + 1e-9) - std::ceil(axis.low / by - 1e-9) + 1; };
  for (int i = 0; count(step) > most && i < 12; ++i) step *= i % 3 == 1 ? 2.5 : 2;
  std::vector<PlotTick> marks;
  const double first = std::ceil(axis.low / step - 1e-9);
  for (int i = 0; i < count(step); ++i) {
    const double value = (first + i) * step;
    marks.push_back({value, plot_number(value, step)});
  }
  return marks;
}

void Extent::add(double value) {
  if (!std::isfinite(value)) return;
  low = std::min(low, value);
  high = std::max(high, value);
}

void Extent::add(const std::vector<double>& values) {
  for (const double value : values) add(value);
}

PlotAxis fit_axis(const Extent& extent, AxisScale scale, double share) {
  PlotAxis axis;
  axis.scale = scale;
  if (scale == AxisScale::Linear) {
    if (extent.empty()) return axis;
    const double room = std::max({(extent.high - extent.low) * share, std::fabs(extent.high) * 1e-9, 1e-12});
    const bool one_value = extent.high - extent.low <= std::fabs(extent.high) * 1e-9;
    const double half = one_value ? std::max(0.5, std::fabs(extent.high) * 0.05) : room;
    axis.low = extent.low - half;
    axis.high = extent.high + half;
    return axis;
  }
  if (extent.empty() || extent.high <= 0) {
    axis.low = scale == AxisScale::Log10 ? 1e-3 : 0.5;
    axis.high = scale == AxisScale::Log10 ? 1 : 2;
    return axis;
  }
  const double low = extent.low > 0 ? extent.low : extent.high * 1e-6;
  const double room = extent.high / low > 1.0001 ? std::pow(extent.high / low, share) : 1.25;
  axis.low = low / room;
  axis.high = extent.high * room;
  return axis;
}

double bar_top(const Series& values) {
  Series finite;
  for (const double value : values) {
    if (std::isfinite(value)) finite.push_back(value);
  }
  if (finite.empty()) return 0;
  std::sort(finite.begin(), finite.end());
  const double nine_in_ten = finite[static_cast<std::size_t>(0.9 * static_cast<double>(finite.size() - 1))];
  return nine_in_ten > 0 && finite.back() > 4 * nine_in_ten ? 1.25 * nine_in_ten : finite.back();
}

std::vector<Point> curve_points(const Series& series, const PlotAxis& x, const PlotAxis& y) {
  std::vector<Point> points;
  points.reserve(series.size());
  for (std::size_t step = 0; step < series.size(); ++step) points.push_back({x.place(static_cast<double>(step)), y.place(series[step])});
  return points;
}

std::vector<Point> staircase_points(const Series& series, const PlotAxis& x, const PlotAxis& y) {
  std::vector<Point> points;
  for (std::size_t step = 0; step < series.size(); ++step) {
    const double at = y.place(series[step]);
    if (!std::isfinite(at)) {
      points.push_back({x.place(static_cast<double>(step)), kNone});
      continue;
    }
    points.push_back({x.place(static_cast<double>(step) - 0.5), at});
    points.push_back({x.place(static_cast<double>(step) + 0.5), at});
  }
  return points;
}

int step_at(const PlotAxis& x, double px, int steps) {
  if (px < std::min(x.begin, x.end) || px >= std::max(x.begin, x.end)) return -1;
  const int step = static_cast<int>(std::floor(x.value(px) + 0.5));
  return step >= 0 && step < steps ? step : -1;
}

std::vector<double> spread(const std::vector<double>& wanted, double gap, double low, double high) {
  std::vector<std::size_t> order(wanted.size());
  std::iota(order.begin(), order.end(), 0);
  std::stable_sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) { return wanted[a] < wanted[b]; });
  std::vector<double> at(wanted);
  double least = low;
  for (const std::size_t i : order) {
    at[i] = std::max(at[i], least);
    least = at[i] + gap;
  }
  double most = high;
  for (auto i = order.rbegin(); i != order.rend(); ++i) {
    at[*i] = std::min(at[*i], most);
    most = at[*i] - gap;
  }
  return at;
}

}  // namespace ditscope::views
