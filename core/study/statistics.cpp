#include "core/study/statistics.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <vector>

namespace ditscope::study {
namespace {

/// SplitMix64: the same numbers with every compiler.
std::uint64_t next(std::uint64_t& state) {
  std::uint64_t z = state += 0x9e3779b97f4a7c15u;
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
  z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
  return z ^ (z >> 31);
}

}  // namespace

Interval bootstrap_mean(std::span<const double> values, int resamples, std::uint64_t seed) {
  Interval interval;
  interval.count = static_cast<int>(values.size());
  if (values.empty()) return interval;
  const auto count = static_cast<double>(values.size());
  interval.mean = interval.low = interval.high = std::accumulate(values.begin(), values.end(), 0.0) / count;
  if (values.size() == 1 || resamples < 1) return interval;
  std::vector<double> means(static_cast<std::size_t>(resamples));
  for (double& mean : means) {
    for (std::size_t i = 0; i < values.size(); ++i) mean += values[next(seed) % values.size()];
    mean /= count;
  }
  std::sort(means.begin(), means.end());
  const auto quantile = [&](double q) { return means[static_cast<std::size_t>(std::lround(q * (resamples - 1)))]; };
  interval.low = quantile(0.025);
  interval.high = quantile(0.975);
  return interval;
}

double flicker(const Frames& video) {
  if (video.count < 3 || video.frame_size() == 0) return 0;
  double sum = 0;
  for (int f = 1; f + 1 < video.count; ++f) {
    const float *before = video.frame(f - 1), *now = video.frame(f), *after = video.frame(f + 1);
    double of_frame = 0;
    for (std::size_t i = 0; i < video.frame_size(); ++i) of_frame += std::fabs(after[i] - 2 * now[i] + before[i]);
    sum += of_frame / static_cast<double>(video.frame_size());
  }
  return 255 * sum / (video.count - 2);
}

}  // namespace ditscope::study
