#include "kernels/reference/attention.h"

#include <cmath>
#include <limits>

namespace ditscope::reference {

AttentionResult attention(const std::vector<double>& q, const std::vector<double>& k, const std::vector<double>& v, int heads,
                          int queries, int keys, int width, double scale, const std::function<bool(int h, int i, int j)>& keeps) {
  AttentionResult result;
  result.out.assign(static_cast<std::size_t>(heads) * queries * width, 0.0);
  result.log_sum_exp.assign(static_cast<std::size_t>(heads) * queries, -std::numeric_limits<double>::infinity());
  const auto at = [width](int h, int tokens, int token, int c) {
    return (static_cast<std::size_t>(h) * tokens + token) * width + c;
  };
  for (int h = 0; h < heads; ++h) {
    for (int i = 0; i < queries; ++i) {
      std::vector<int> seen;
      std::vector<double> logits;
      double top = -std::numeric_limits<double>::infinity();
      for (int j = 0; j < keys; ++j) {
        if (!keeps(h, i, j)) continue;
        double dot = 0;
        for (int c = 0; c < width; ++c) dot += q[at(h, queries, i, c)] * k[at(h, keys, j, c)];
        seen.push_back(j);
        logits.push_back(scale * dot);
        top = std::fmax(top, scale * dot);
      }
      if (seen.empty()) continue;
      double mass = 0;
      for (const double logit : logits) mass += std::exp(logit - top);
      for (std::size_t n = 0; n < seen.size(); ++n) {
        const double probability = std::exp(logits[n] - top) / mass;
        for (int c = 0; c < width; ++c) result.out[at(h, queries, i, c)] += probability * v[at(h, keys, seen[n], c)];
      }
      result.log_sum_exp[static_cast<std::size_t>(h) * queries + i] = top + std::log(mass);
    }
  }
  return result;
}

}  // namespace ditscope::reference
