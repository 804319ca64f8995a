#include "kernels/reference/k_means.h"

#include <cstddef>

namespace ditscope::reference {
namespace {

double squared_distance(const double* a, const double* b, int width) {
  double sum = 0;
  for (int c = 0; c < width; ++c) sum += (a[c] - b[c]) * (a[c] - b[c]);
  return sum;
}

std::size_t nearest(const double* token, const std::vector<double>& centroids, int width) {
  std::size_t best = 0;
  for (std::size_t k = 1; k * width < centroids.size(); ++k) {
    if (squared_distance(token, centroids.data() + k * width, width) <
        squared_distance(token, centroids.data() + best * width, width))
      best = k;
  }
  return best;
}

}  // namespace

std::vector<std::int32_t> k_means(const std::vector<double>& x, std::vector<double>& centroids, int width, int iterations) {
  std::vector<std::int32_t> labels(x.size() / width);
  for (int i = 0; i < iterations; ++i) {
    std::vector<double> sums(centroids.size(), 0.0), counts(centroids.size() / width, 0.0);
    for (std::size_t t = 0; t < labels.size(); ++t) {
      const std::size_t k = nearest(x.data() + t * width, centroids, width);
      labels[t] = static_cast<std::int32_t>(k);
      counts[k] += 1;
      for (int c = 0; c < width; ++c) sums[k * width + c] += x[t * width + c];
    }
    for (std::size_t at = 0; at < centroids.size(); ++at) {
      if (counts[at / width] > 0) centroids[at] = sums[at] / counts[at / width];
    }
  }
  return labels;
}

double k_means_cost(const std::vector<double>& x, const std::vector<double>& centroids, int width) {
  double cost = 0;
  for (std::size_t t = 0; t * width < x.size(); ++t) {
    const double* token = x.data() + t * width;
    cost += squared_distance(token, centroids.data() + nearest(token, centroids, width) * width, width);
  }
  return cost;
}

}  // namespace ditscope::reference
