#pragma once
#include <ATen/core/Tensor.h>

#include <cstdint>
#include <vector>

#include "core/attention/layer_call.h"
#include "core/attention/selection.h"

namespace ditscope {

// What captures measure of a call: beside the method and after it, never in its stead, so the run's numbers stay as they are.
// On the CPU in float32 and bfloat16 with our kernels, else with LibTorch operations, some rows at a time; never N x N.

/// Some query rows of one batch element against exact attention. All float32 on the CPU.
struct RowProbe {
  at::Tensor log_sum_exp;  // (H,R) over all keys
  at::Tensor kept;         // (H,R) share of the probability that lies on kept keys
  at::Tensor skipped;      // (H,R) and on the others: summed by itself, so that small shares keep their digits
  at::Tensor map;          // (H,R,C) share of each cell
  at::Tensor full;         // (H,R,D) exact output
};

/// @param rows   (R) query tokens      @param edges  first token of each cell and, last, the number of tokens
/// @param keeps  (1 or H, R, T) float32 on the CPU, 1 where kept, else 0; undefined: every key
RowProbe probe_rows(const LayerCall& call, std::int64_t batch, const at::Tensor& rows, const at::Tensor& keeps,
                    const std::vector<std::int64_t>& edges);

/// Exact attention of one batch element by cells, and its log-sum-exp: one pass over q and k.
struct ExactMap {
  at::Tensor log_sum_exp;  // (H,T)
  at::Tensor map;          // (H,C,C) mean over the queries of a cell of what they pay to each cell; rows sum to 1
};

/// @param block_tokens  a multiple of 64; cells restart where text meets video
ExactMap exact_map(const LayerCall& call, std::int64_t batch, std::int64_t block_tokens);

/// Log-sum-exp of one batch element over what a selection keeps.
at::Tensor kept_log_sum_exp(const LayerCall& call, std::int64_t batch, const Selection& selection);  // (H,T)

}  // namespace ditscope
