#include "kernels/reference/int8.h"

#include <cmath>
#include <cstddef>

namespace ditscope::reference {

std::vector<double> dequantise(const std::vector<std::int8_t>& values, const std::vector<float>& scales, int heads, int tokens,
                               int width, int group_tokens) {
  const int groups = (tokens + group_tokens - 1) / group_tokens;
  std::vector<double> result;
  for (int h = 0; h < heads; ++h)
    for (int t = 0; t < tokens; ++t)
      for (int c = 0; c < width; ++c)
        result.push_back(values[(static_cast<std::size_t>(h) * tokens + t) * width + c] *
                         static_cast<double>(scales[static_cast<std::size_t>(h) * groups + t / group_tokens]));
  return result;
}

std::vector<double> scaled_for_int8(const std::vector<double>& x, const std::vector<double>& mean, int heads, int tokens,
                                    int width, int group_tokens) {
  std::vector<double> result = x;
  const auto at = [&](int h, int t, int c) { return (static_cast<std::size_t>(h) * tokens + t) * width + c; };
  for (int h = 0; h < heads; ++h) {
    for (int first = 0; first < tokens; first += group_tokens) {
      double largest = 0;
      for (int t = first; t < first + group_tokens && t < tokens; ++t)
        for (int c = 0; c < width; ++c) {
          result[at(h, t, c)] -= mean[static_cast<std::size_t>(h) * width + c];
          largest = std::fmax(largest, std::fabs(result[at(h, t, c)]));
        }
      for (int t = first; t < first + group_tokens && t < tokens; ++t)
        for (int c = 0; c < width; ++c) result[at(h, t, c)] *= largest == 0 ? 0 : 127 / largest;
    }
  }
  return result;
}

}  // namespace ditscope::reference
