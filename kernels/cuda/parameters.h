#pragma once
#include <cstdint>

#include "kernels/plan/attention_plan.h"

namespace ditscope::cuda {

/// Strides count elements.
struct Strides3 {
  std::int64_t head, token, channel;
};
struct Strides2 {
  std::int64_t head, token;
};

/// What a kernel is launched with. Null pointers stand for what is not asked for.
struct Parameters {
  const void *q, *k, *v, *residual;  ///< residual: added to `out` (plain kernel)
  void *out, *skipped_residual;      ///< skipped_residual: written by the split kernel
  float *log_sum_exp, *log_sum_exp_kept;
  const float* row_scale;
  Strides3 q_strides, k_strides, v_strides, residual_strides, out_strides, skipped_residual_strides;
  Strides2 log_sum_exp_strides, log_sum_exp_kept_strides, row_scale_strides;
  const PlanItem* items;
  const PlanEntry* entries;
  const std::uint64_t* row_words;
  int* counters;  ///< [0]: tiles handed out beyond the first of each block, [1]: blocks that are done; both are zero between
                  ///< launches
  int* tickets;   ///< one a part: how many parts of a divided tile are done; zero between launches
  float* parts;   ///< results of parts: per part, rows of kWidth + 1 floats
  int item_count;
  int heads, queries, keys, width;
  float scale_log2;   ///< |scale| log2(e), not zero
  float lazy_growth;  ///< by how much a logit may exceed the reference of its row before the row is rescaled
  bool negative;      ///< the scale is negative
  bool unit_rho;
};

inline constexpr float kLog2E = 1.44269504f;
inline constexpr float kLn2 = 0.69314718f;

}  // namespace ditscope::cuda
