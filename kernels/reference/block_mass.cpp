#include "kernels/reference/block_mass.h"

#include <cmath>

namespace ditscope::reference {

std::vector<double> block_mass(const std::vector<double>& q, const std::vector<double>& k, const std::vector<double>& log_sum_exp,
                               int heads, int queries, int keys, int width, double scale, int block_tokens,
                               const std::function<bool(int h, int i, int j)>& keeps,
                               const std::function<double(int i)>& weight) {
  const int query_blocks = (queries + block_tokens - 1) / block_tokens, key_blocks = (keys + block_tokens - 1) / block_tokens;
  std::vector<double> mass(static_cast<std::size_t>(heads) * query_blocks * key_blocks, 0.0);
  for (int h = 0; h < heads; ++h) {
    for (int i = 0; i < queries; ++i) {
      const double lse = log_sum_exp[static_cast<std::size_t>(h) * queries + i];
      if (weight(i) == 0 || std::isinf(lse)) continue;
      for (int j = 0; j < keys; ++j) {
        if (!keeps(h, i, j)) continue;
        double dot = 0;
        for (int c = 0; c < width; ++c)
          dot += q[(static_cast<std::size_t>(h) * queries + i) * width + c] *
                 k[(static_cast<std::size_t>(h) * keys + j) * width + c];
        mass[(static_cast<std::size_t>(h) * query_blocks + i / block_tokens) * key_blocks + j / block_tokens] +=
            weight(i) * std::exp(scale * dot - lse);
      }
    }
  }
  return mass;
}

}  // namespace ditscope::reference
