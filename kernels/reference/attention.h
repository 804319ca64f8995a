#pragma once
#include <cstdint>
#include <functional>
#include <vector>

namespace ditscope::reference {

/// Softmax attention in float64, one row at a time, written to be read: the oracle of the kernels' tests.
///
/// @param q      (H,Tq,D) @param k,v (H,Tk,D), contiguous
/// @param keeps  whether query i of head h sees key j
/// @return out (H,Tq,D), 0 for a row that sees nothing; log_sum_exp (H,Tq), -inf for such a row
struct AttentionResult {
  std::vector<double> out, log_sum_exp;
};
AttentionResult attention(const std::vector<double>& q, const std::vector<double>& k, const std::vector<double>& v, int heads,
                          int queries, int keys, int width, double scale, const std::function<bool(int h, int i, int j)>& keeps);

}  // namespace ditscope::reference
