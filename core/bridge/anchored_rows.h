#pragma once
#include <ATen/core/Tensor.h>

namespace ditscope {

/// Softmax over the last axis, in place; a row of -inf becomes 0. @param logits (H,M,N) float32, contiguous
/// @return (H,M) natural log of the sums, -inf for such a row
at::Tensor soften_rows(at::Tensor& logits);

/// Attention over kept keys and what the others give, made one. Group a is the slots offsets[a] .. offsets[a+1]-1:
///   LSE^S = log_skipped + log_moved_a;   rho = 1 / (1 + e^(LSE^S - LSE^W));   out = rho out + added,
///   added = min((1 - rho) / skipped, largest_scale) residual + (1 - rho) moved_a.
/// A row whose both sums are 0 keeps what it has.
struct AnchoredRows {
  at::Tensor log_sum_exp;           // (H,S) float32, LSE^W; undefined: rho is 1 - skipped
  at::Tensor skipped, log_skipped;  // (H,S) float32
  at::Tensor residual;              // (H,S,D) in the type of out
  at::Tensor log_moved;             // (H,G) float32; undefined: 0
  at::Tensor moved;                 // (H,G,D) float32; undefined: 0
  at::Tensor offsets;               // (G+1) long, CPU
  at::Tensor group_of;              // (S) long, CPU
  float largest_scale = 8;

  at::Tensor rho;    // (H,S) float32, written
  at::Tensor added;  // (H,S,D) in the type of out, written
};
/// @param out (H,S,D), channels side by side, in and out
void add_anchored(AnchoredRows& rows, at::Tensor& out);

}  // namespace ditscope
