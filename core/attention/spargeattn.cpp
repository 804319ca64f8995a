// SpargeAttn: blocks chosen by attention between means, but only between blocks whose tokens resemble each other.
//
// Zhang et al., ICML 2025, arXiv:2502.18137, query blocks of 128, key blocks of 64, K less its mean over tokens:
//   sim(b) = mean over all pairs of tokens of the cosine between them;   b is good iff sim(b) > theta
//   S = scale * q̄ k̄^T, columns of key blocks that are not good -inf;  P = softmax of its rows
//   top-k: each row keeps its int(kept n_k) best, at least 1
//   CDF:   each row keeps its best columns while their sum stays <= tau, at least 1; the column that crosses tau is left out
//   key blocks that are not good: all rows keep them; query blocks that are not good: keep everything; `sink`: key block 0
//
// Differs from the paper:
// - Its second stage skips, inside the kernel, products of probabilities too small to matter (lambda; 50 is off). Ours has no such
//   stage: every kept block is computed in full.
// - theta and kept_ratio or tau are the same for all heads: the paper tunes them per head on calibration prompts.
// - Text has no blocks of its own, as in the code. `order=hilbert` lays visual tokens along a Hilbert curve and text after them;
//   the paper proposes it, its code has none.
#include <ATen/ATen.h>

#include <algorithm>
#include <limits>

#include "core/attention/block_planner.h"
#include "core/attention/methods.h"
#include "kernels/permutation.h"

namespace ditscope {
namespace {

struct SpargeParameters {
  double kept_ratio = 0.5, cdf = 0.98, similarity = -0.1;
  bool top_k = true, hilbert = false, sink = false;
};

class SpargeAttn final : public BlockPlanner {
 public:
  explicit SpargeAttn(const SpargeParameters& parameters) : p_(parameters) {}
  std::unique_ptr<Planner> clone() const override { return std::make_unique<SpargeAttn>(*this); }
  std::optional<double> requested_kept_ratio() const override {
    return p_.top_k ? std::optional(p_.kept_ratio) : std::nullopt;
  }

 protected:
  BlockGrid lay_out(const TokenLayout& l) const override {
    if (p_.hilbert) return BlockGrid(l, 64, BlockGrid::Text::Joined, hilbert_order({l.frames, l.rows, l.columns}));
    if (l.order == TokenOrder::FrameMajor) {  // tokens as they come, wherever text is
      TokenLayout plain;
      plain.columns = l.tokens();
      return BlockGrid(plain, 64, BlockGrid::Text::Joined);
    }
    return BlockGrid(l, 64, BlockGrid::Text::Joined);
  }

  at::Tensor choose(const LayerCall& one, const BlockGrid& grid) const override {
    const std::int64_t blocks = grid.blocks();
    const at::Tensor q = one.q[0].to(at::kFloat);                                                    // (H,T,D)
    const at::Tensor k = one.k[0].to(at::kFloat) - one.k[0].to(at::kFloat).mean(1, true);            // (H,T,D)
    const at::Tensor counts = grid.counts().to(q.device(), at::kFloat);                              // (N)
    // Query blocks of 128: two of the grid's.
    const auto pairs = [&](const at::Tensor& sums) {  // (H,N,C) -> (H,M,C)
      return at::constant_pad_nd(sums, {0, 0, 0, blocks % 2}).unflatten(1, {(blocks + 1) / 2, 2}).sum(2);
    };
    const at::Tensor pair_counts = pairs(counts.view({1, blocks, 1})).flatten();                     // (M)
    const auto similarity = [&](const at::Tensor& sums, const at::Tensor& of) {                      // |sum of x/|x||^2 / count^2
      return sums.square().sum(2) / of.square();
    };
    const at::Tensor unit_q = q / q.norm(2, {2}, true).clamp_min(1e-20), unit_k = k / k.norm(2, {2}, true).clamp_min(1e-20);
    const at::Tensor good_q = similarity(pairs(grid.sums(unit_q)), pair_counts).gt(p_.similarity);   // (H,M)
    const at::Tensor good_k = similarity(grid.sums(unit_k), counts).gt(p_.similarity);               // (H,N)

    const at::Tensor q_means = pairs(grid.sums(q)) / pair_counts.unsqueeze(1);
    at::Tensor logits = at::matmul(q_means, grid.means(k).transpose(1, 2)) * one.scale;              // (H,M,N)
    logits = logits.masked_fill(good_k.logical_not().unsqueeze(1), -std::numeric_limits<double>::infinity());
    const at::Tensor scores = at::softmax(logits, 2).nan_to_num(0);
    const auto count = std::max<std::int64_t>(static_cast<std::int64_t>(p_.kept_ratio * static_cast<double>(blocks)), 1);
    at::Tensor kept = p_.top_k ? best_columns(scores, count) : best_columns(scores, p_.cdf, false, 1);  // (H,M,N)
    kept = kept.logical_or(good_k.logical_not().unsqueeze(1)).logical_or(good_q.logical_not().unsqueeze(2));
    if (p_.sink) kept.select(2, 0).fill_(true);
    return kept.repeat_interleave(2, 1).narrow(1, 0, blocks);
  }

 private:
  SpargeParameters p_;
};

}  // namespace

std::unique_ptr<Planner> make_spargeattn(const ParameterValues& parameters, int) {
  SpargeParameters p;
  p.kept_ratio = std::get<double>(parameters.at("kept_ratio"));
  p.cdf = std::get<double>(parameters.at("cdf"));
  p.similarity = std::get<double>(parameters.at("similarity"));
  p.top_k = std::get<std::string>(parameters.at("rule")) == "top-k";
  p.hilbert = std::get<std::string>(parameters.at("order")) == "hilbert";
  p.sink = std::get<bool>(parameters.at("sink"));
  return std::make_unique<SpargeAttn>(p);
}

}  // namespace ditscope
