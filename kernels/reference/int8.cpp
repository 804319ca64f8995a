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

namespace {

/// Tokens rounded by group.
struct Rounded {
  std::vector<double> numbers, doubt;  ///< (H,T,D); doubt: the step where a number is close to half-way, else 0
  std::vector<double> step;            ///< (H,T)
};

Rounded round_tokens(const std::vector<double>& x, const std::vector<double>& mean, int heads, int tokens, int width,
                     int group_tokens) {
  constexpr double kNear = 1e-4;
  Rounded result{scaled_for_int8(x, mean, heads, tokens, width, group_tokens), std::vector<double>(x.size()), {}};
  for (int h = 0; h < heads; ++h) {
    for (int t = 0; t < tokens; ++t) {
      double largest = 0;
      for (int other = t - t % group_tokens; other < tokens && other / group_tokens == t / group_tokens; ++other)
        for (int c = 0; c < width; ++c)
          largest = std::fmax(largest, std::fabs(x[(static_cast<std::size_t>(h) * tokens + other) * width + c] -
                                                 mean[static_cast<std::size_t>(h) * width + c]));
      result.step.push_back(largest / 127);
      for (int c = 0; c < width; ++c) {
        const std::size_t n = (static_cast<std::size_t>(h) * tokens + t) * width + c;
        const double scaled = result.numbers[n], whole = std::nearbyint(scaled);
        if (std::fabs(std::fabs(scaled - whole) - 0.5) < kNear) result.doubt[n] = result.step.back();
        result.numbers[n] = whole * result.step.back();
      }
    }
  }
  return result;
}

std::vector<double> mean_over_tokens(const std::vector<double>& x, int heads, int tokens, int width) {
  std::vector<double> mean(static_cast<std::size_t>(heads) * width, 0.0);
  for (int h = 0; h < heads; ++h)
    for (int t = 0; t < tokens; ++t)
      for (int c = 0; c < width; ++c)
        mean[static_cast<std::size_t>(h) * width + c] += x[(static_cast<std::size_t>(h) * tokens + t) * width + c] / tokens;
  return mean;
}

}  // namespace

Int8Result int8_attention(const std::vector<double>& q, const std::vector<double>& k, const std::vector<double>& v, int heads,
                          int queries, int keys, int width, double scale, int query_group_tokens, int key_group_tokens, bool smooth,
                          const std::function<bool(int h, int i, int j)>& keeps) {
  const std::vector<double> nothing(static_cast<std::size_t>(heads) * width, 0.0);
  const std::vector<double> mean = smooth ? mean_over_tokens(k, heads, keys, width) : nothing;
  const Rounded rq = round_tokens(q, nothing, heads, queries, width, query_group_tokens),
                rk = round_tokens(k, mean, heads, keys, width, key_group_tokens);
  Int8Result result{attention(rq.numbers, rk.numbers, v, heads, queries, keys, width, scale, keeps), {}, {}};
  result.out_doubt.assign(result.out.size(), 0.0);
  result.log_sum_exp_doubt.assign(result.log_sum_exp.size(), 0.0);
  double variance = 0, rows = 0;
  for (std::size_t row = 0; row < result.log_sum_exp.size(); ++row) {
    double& sums = result.log_sum_exp[row];
    if (std::isinf(sums)) continue;
    const std::size_t h = row / static_cast<std::size_t>(queries);
    const double* query = rq.numbers.data() + row * width;
    std::vector<double> weights(static_cast<std::size_t>(keys), 0.0), moves(weights);
    for (int j = 0; j < keys; ++j) {
      if (!keeps(static_cast<int>(h), static_cast<int>(row % queries), j)) continue;
      const std::size_t token = h * keys + j;
      const double* key = rk.numbers.data() + token * width;
      double dot = 0, move = 0, query_norm = 0, key_norm = 0;
      for (int c = 0; c < width; ++c) {
        const double query_doubt = rq.doubt[row * width + c], key_doubt = rk.doubt[token * width + c];
        dot += query[c] * key[c];
        move += query_doubt * std::fabs(key[c]) + key_doubt * std::fabs(query[c]) + query_doubt * key_doubt;
        query_norm += query[c] * query[c];
        key_norm += key[c] * key[c];
      }
      weights[j] = std::exp(scale * dot - sums);
      moves[j] = std::fabs(scale) * move;
      variance += weights[j] * scale * scale / 12 *
                  (rq.step[row] * rq.step[row] * key_norm + rk.step[token] * rk.step[token] * query_norm);
    }
    double moved = 0;
    for (int j = 0; j < keys; ++j) moved += weights[j] * std::expm1(moves[j]);
    result.log_sum_exp_doubt[row] = moved;
    for (int j = 0; j < keys; ++j)
      for (int c = 0; c < width; ++c)
        result.out_doubt[row * width + c] += weights[j] * std::expm1(moves[j] + moved) * std::fabs(v[(h * keys + j) * width + c]);
    for (int c = 0; c < width; ++c) sums += scale * q[row * width + c] * mean[h * width + c];
    ++rows;
  }
  result.noise = rows == 0 ? 0 : std::sqrt(variance / rows);
  return result;
}

}  // namespace ditscope::reference
