#include "kernels/reference/selection.h"

#include <algorithm>
#include <numeric>

namespace ditscope::reference {

std::vector<int> largest(const std::vector<double>& scores, std::int64_t count) {
  std::vector<int> order(scores.size());
  std::iota(order.begin(), order.end(), 0);
  std::stable_sort(order.begin(), order.end(), [&](int a, int b) { return scores[a] > scores[b]; });
  order.resize(static_cast<std::size_t>(std::clamp<std::int64_t>(count, 0, static_cast<std::int64_t>(scores.size()))));
  return order;
}

std::int64_t leading_within(const std::vector<double>& scores, double mass_ratio) {
  std::vector<double> sorted = scores;
  std::sort(sorted.begin(), sorted.end(), std::greater<>());
  const double limit = mass_ratio * std::accumulate(sorted.begin(), sorted.end(), 0.0);
  double sum = 0;
  std::int64_t count = 0;
  for (const double score : sorted) {
    sum += score;
    if (sum <= limit) ++count;
  }
  return count;
}

}  // namespace ditscope::reference
