#include "kernels/reference/pooling.h"

#include <cmath>

namespace ditscope::reference {
namespace {

double dot(const double* a, const double* b, int width) {
  double sum = 0;
  for (int c = 0; c < width; ++c) sum += a[c] * b[c];
  return sum;
}

}  // namespace

PooledBlocks pool_blocks(const std::vector<double>& x, int heads, int tokens, int width,
                         const std::vector<std::int64_t>& offsets) {
  PooledBlocks result;
  for (int h = 0; h < heads; ++h) {
    for (std::size_t n = 0; n + 1 < offsets.size(); ++n) {
      const auto count = static_cast<double>(offsets[n + 1] - offsets[n]);
      const auto row = [&](std::int64_t t) { return x.data() + (static_cast<std::int64_t>(h) * tokens + t) * width; };
      std::vector<double> mean(static_cast<std::size_t>(width), 0.0), deviation = mean;
      double cosines = 0;
      for (std::int64_t t = offsets[n]; t < offsets[n + 1]; ++t)
        for (int c = 0; c < width; ++c) mean[static_cast<std::size_t>(c)] += row(t)[c] / count;
      for (std::int64_t t = offsets[n]; t < offsets[n + 1]; ++t) {
        for (int c = 0; c < width; ++c)
          deviation[static_cast<std::size_t>(c)] += std::fabs(row(t)[c] - mean[static_cast<std::size_t>(c)]) / count;
        for (std::int64_t u = offsets[n]; u < offsets[n + 1]; ++u) {
          const double lengths = std::sqrt(dot(row(t), row(t), width) * dot(row(u), row(u), width));
          if (lengths > 0) cosines += dot(row(t), row(u), width) / lengths / (count * count);
        }
      }
      result.mean.insert(result.mean.end(), mean.begin(), mean.end());
      result.deviation.insert(result.deviation.end(), deviation.begin(), deviation.end());
      result.similarity.push_back(cosines);
    }
  }
  return result;
}

PooledShares pooled_attention(const std::vector<double>& queries, const std::vector<double>& keys,
                              const std::vector<double>& weights, const std::vector<double>& extra_keys, int heads, int rows,
                              int blocks, int extra, int width, double scale) {
  PooledShares result;
  for (int h = 0; h < heads; ++h) {
    for (int i = 0; i < rows; ++i) {
      const double* query = queries.data() + (static_cast<std::size_t>(h) * rows + i) * width;
      std::vector<double> mass;
      double pooled = 0, apart = 0;
      for (int j = 0; j < blocks; ++j) {
        mass.push_back(weights[static_cast<std::size_t>(h) * blocks + j] *
                       std::exp(scale * dot(query, keys.data() + (static_cast<std::size_t>(h) * blocks + j) * width, width)));
        pooled += mass.back();
      }
      for (int t = 0; t < extra; ++t)
        apart += std::exp(scale * dot(query, extra_keys.data() + (static_cast<std::size_t>(h) * extra + t) * width, width));
      const double sum = pooled + apart;
      for (const double m : mass) result.shares.push_back(sum == 0 ? 0 : m / sum);
      result.extra_share.push_back(sum == 0 ? 0 : apart / sum);
    }
  }
  return result;
}

}  // namespace ditscope::reference
