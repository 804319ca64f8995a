#pragma once
#include <ATen/core/Tensor.h>

#include <vector>

#include "core/attention/method.h"

namespace ditscope {

/// How well one call did, measured on some query rows against exact attention of the same q, k and v. The same function for every
/// method: no method grades itself.
struct AttentionStats {
  int rows = 0;                      ///< query rows measured, spread evenly over the sequence
  std::vector<double> recall;        ///< (B*H) share of full attention's probability that lies on kept keys, mean over rows
  std::vector<double> output_error;  ///< (B*H) |out - full| / |full| over the measured rows
  std::vector<double> relative_l1;   ///< (B*H) sum |out - full| / sum |full| over the measured rows
  std::vector<double> cosine_error;  ///< (B*H) 1 - cosine of the angle between a row of out and of full, mean over rows
  std::vector<double> log_sum_exp;   ///< (B*H) over all keys, mean over rows
  double mean_recall() const;
  double mean_output_error() const;
};

/// @param rows how many query rows to measure; all of them if there are fewer. Costs rows * T * D per head, in float32.
AttentionStats measure(const LayerCall& call, const BlockPlan& plan, const at::Tensor& out, int rows);

/// Share of all pairs that `pv_skip` left out of the kept ones in one batch element of a sparse call. Attends once more.
/// @param qk  of the call that ran
/// @return (H) float64; undefined where the plan leaves nothing to pv_skip
at::Tensor pv_left_out_ratio(const LayerCall& call, std::int64_t batch, const BlockPlan& plan, QkPrecision qk);

}  // namespace ditscope
