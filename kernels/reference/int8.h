#pragma once
#include <cstdint>
#include <functional>
#include <vector>

#include "kernels/reference/attention.h"

namespace ditscope::reference {

/// What int8 numbers stand for: values * the scale of their group, in float64.
/// @param values (H,T,D) @param scales (H, ceil(T/group_tokens)) @return (H,T,D)
std::vector<double> dequantise(const std::vector<std::int8_t>& values, const std::vector<float>& scales, int heads, int tokens,
                               int width, int group_tokens);

/// (x - mean) * 127 / max|x - mean| of its group, not yet rounded, in float64.
/// @param x (H,T,D) @param mean (H,D)
std::vector<double> scaled_for_int8(const std::vector<double>& x, const std::vector<double>& mean, int heads, int tokens,
                                    int width, int group_tokens);

/// int8_attention() in float64: q and k rounded by group, keys less their mean where `smooth`, attention over what is left. A
/// kernel works in float32, so a number within 1e-4 of half-way between two may go to the other one: `out_doubt` and
/// `log_sum_exp_doubt` bound what that does, with weights e^d / sum e^d where a logit moves by d.
struct Int8Result : AttentionResult {
  std::vector<double> out_doubt;          ///< (H,Tq,D)
  std::vector<double> log_sum_exp_doubt;  ///< (H,Tq)
  /// Root mean square that rounding adds to a logit, each pair counted by its weight: a number of step s is off by s^2 / 12 in the
  /// mean square. It is also about what the output is off by, relative to itself.
  double noise = 0;
};
Int8Result int8_attention(const std::vector<double>& q, const std::vector<double>& k, const std::vector<double>& v, int heads,
                          int queries, int keys, int width, double scale, int query_group_tokens, int key_group_tokens, bool smooth,
                          const std::function<bool(int h, int i, int j)>& keeps);

}  // namespace ditscope::reference
