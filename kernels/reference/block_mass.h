#pragma once
#include <cstdint>
#include <functional>
#include <vector>

namespace ditscope::reference {

/// Sums of exp(scale * q_i.k_j - log_sum_exp_i) over blocks of `block_tokens` queries and keys, in float64, pair by pair.
///
/// @param q (H,Tq,D) @param k (H,Tk,D), contiguous @param log_sum_exp (H,Tq) @param keeps whether query i of head h sees key j
/// @param weight what query i counts; 0 leaves it out
/// @return (H, ceil(Tq/block_tokens), ceil(Tk/block_tokens))
std::vector<double> block_mass(const std::vector<double>& q, const std::vector<double>& k, const std::vector<double>& log_sum_exp,
                               int heads, int queries, int keys, int width, double scale, int block_tokens,
                               const std::function<bool(int h, int i, int j)>& keeps, const std::function<double(int i)>& weight);

}  // namespace ditscope::reference
