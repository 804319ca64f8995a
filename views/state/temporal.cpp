#include "views/state/temporal.h"

#include <cmath>

namespace ditscope::views {

std::vector<double> temporal_change(const Frames& frames) {
  std::vector<double> change(static_cast<std::size_t>(frames.count), 0.0);
  for (int f = 1; f < frames.count; ++f) {
    const float *now = frames.frame(f), *former = frames.frame(f - 1);
    double sum = 0;
    for (std::size_t i = 0; i < frames.frame_size(); ++i) sum += std::fabs(static_cast<double>(now[i]) - former[i]);
    change[static_cast<std::size_t>(f)] = sum / static_cast<double>(frames.frame_size());
  }
  return change;
}

std::vector<double> ticks(double low, double high, int most) {
  std::vector<double> values;
  if (!(high > low) || most < 2) return values;
  double step = std::pow(10.0, std::floor(std::log10((high - low) / most)));
  for (const double factor : {1.0, 2.0, 5.0, 10.0}) {
    if ((high - low) / (step * factor) <= most - 1 || factor == 10.0) {
      step *= factor;
      break;
    }
  }
  for (double value = std::ceil(low / step - 1e-9) * step; value <= high + step * 1e-9; value += step) values.push_back(value);
  return values;
}

}  // namespace ditscope::views
