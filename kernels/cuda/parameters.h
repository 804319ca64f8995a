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
  const float *row_scale, *block_scale, *block_vector;
  Strides3 q_strides, k_strides, v_strides, residual_strides, out_strides, skipped_residual_strides;
  Strides3 block_vector_strides;  ///< of (head, block, channel)
  Strides2 log_sum_exp_strides, log_sum_exp_kept_strides, row_scale_strides;
  Strides2 block_scale_strides;  ///< of (head, block)
  const PlanItem* items;
  const PlanEntry* entries;
  const std::uint64_t* row_words;
  int* counters;  ///< [0]: tiles handed out beyond the first of each block, [1]: blocks that are done; both are zero between
                  ///< launches
  int* tickets;   ///< one a part: how many parts of a divided tile are done; zero between launches
  float* parts;   ///< results of parts: per part, rows of kWidth + 1 floats
  int item_count;
  int heads, queries, keys, width;
  // Masses of blocks, of the split kernel: null pointers where they are not asked for.
  float *block_mass, *block_logs;  ///< block_logs: of each block of threads, most_entries times a float a row of its tile
  Strides3 block_mass_strides;     ///< of (head, query block, key block)
  int most_entries;                ///< of one item
  bool mean_mass;                  ///< means over the rows of a query block instead of sums
  // Of int8 queries and keys: a scale a group of 2^shift tokens, (heads, groups) side by side, and what smoothing took from the
  // log-sum-exp of a query, (heads, queries); else null.
  const float *query_scales, *key_scales, *row_bias;
  int query_group_shift, key_group_shift;
  float scale_log2;   ///< |scale| log2(e), not zero
  float lazy_growth;  ///< by how much a logit may exceed the reference of its row before the row is rescaled
  bool negative;      ///< the scale is negative
  bool unit_rho;
};

/// What the kernels of block masses are launched with: q, k, the plan and the scale of `common`.
struct MassParameters {
  Parameters common;
  const float* log_sum_exp;  ///< of every query
  Strides2 log_sum_exp_strides;
  float* mass;
  Strides3 mass_strides;  ///< of (head, query block, key block)
  int query_blocks, key_blocks;
};

inline constexpr float kLog2E = 1.44269504f;
inline constexpr float kLn2 = 0.69314718f;

}  // namespace ditscope::cuda
