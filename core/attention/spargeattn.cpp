// SpargeAttn: blocks chosen by attention between means, but only between blocks whose tokens resemble each other.
//
// Zhang et al., ICML 2025, arXiv:2502.18137, query blocks of 128, key blocks of 64, K less its mean over tokens:
//   sim(b) = mean over all pairs of tokens of the cosine between them;   b is good iff sim(b) > theta
//   S = scale * q̄ k̄^T, columns of key blocks that are not good -inf;  P = softmax of its rows
//   top-k: each row keeps its int(kept n_k) best, at least 1
//   CDF:   each row keeps its best columns while their sum stays <= tau, at least 1; the column that crosses tau is left out
//   key blocks that are not good: all rows keep them; query blocks that are not good: keep everything; `sink`: key block 0
//   second stage, in the kernel: a block none of whose logits (log2) comes within lambda of its row's running maximum is left out
//   tuning, a (layer, head): the least tau, and then lambda, with which the output stays within relative L1 bounds on a few prompts
//
// Differs from the paper:
// - The second stage is that of the int8 kernel (the paper's is one too) and decides by 64 rows; the paper's by the 16 or 32 of a warp.
//   Kept ratios count the blocks that the plan keeps; what this stage leaves out of them is a measure of its own (pv_left_out()).
// - Text has no blocks of its own, as in the code. `order=hilbert` lays visual tokens along a Hilbert curve and text after them;
//   the paper proposes it, its code has none.
#include <ATen/ATen.h>

#include <algorithm>
#include <limits>

#include "core/attention/block_planner.h"
#include "core/attention/calibration.h"
#include "core/attention/methods.h"
#include "kernels/keep_reason.h"
#include "kernels/permutation.h"

namespace ditscope {
namespace {

struct SpargeParameters {
  double kept_ratio = 0.5, cdf = 0.98, similarity = -0.1;
  bool top_k = true, hilbert = false, sink = false;
  double pv_skip = 0;
  std::shared_ptr<const Calibration> tuned;  ///< tables (L,H), in place of the thresholds above; null: none
};

class SpargeAttn final : public BlockPlanner {
 public:
  explicit SpargeAttn(const SpargeParameters& parameters) : p_(parameters) {}
  std::unique_ptr<Planner> clone() const override { return std::make_unique<SpargeAttn>(*this); }
  std::optional<double> requested_kept_ratio() const override {
    return p_.top_k && !p_.tuned ? std::optional(p_.kept_ratio) : std::nullopt;
  }

  Planned plan(const LayerCall& call, std::int64_t batch) override {
    Planned planned = BlockPlanner::plan(call, batch);
    if (p_.pv_skip <= 0 && !p_.tuned) return planned;
    auto selection = std::make_shared<Selection>(*planned.selection);
    selection->set_pv_skip(of_heads("pv_skip", call, p_.pv_skip));
    planned.selection = std::move(selection);
    return planned;
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
    const at::Tensor theta = of_heads("similarity", one, p_.similarity).to(q.device()).unsqueeze(1);  // (H,1)
    const at::Tensor unit_q = q / q.norm(2, {2}, true).clamp_min(1e-20), unit_k = k / k.norm(2, {2}, true).clamp_min(1e-20);
    const at::Tensor good_q = similarity(pairs(grid.sums(unit_q)), pair_counts).gt(theta);           // (H,M)
    const at::Tensor good_k = similarity(grid.sums(unit_k), counts).gt(theta);                       // (H,N)

    const at::Tensor q_means = pairs(grid.sums(q)) / pair_counts.unsqueeze(1);
    at::Tensor logits = at::matmul(q_means, grid.means(k).transpose(1, 2)) * one.scale;              // (H,M,N)
    logits = logits.masked_fill(good_k.logical_not().unsqueeze(1), -std::numeric_limits<double>::infinity());
    const at::Tensor scores = at::softmax(logits, 2).nan_to_num(0);
    const auto count = std::max<std::int64_t>(static_cast<std::int64_t>(p_.kept_ratio * static_cast<double>(blocks)), 1);
    const bool top_k = p_.top_k && !p_.tuned;
    const at::Tensor tau = of_heads("cdf", one, p_.cdf).to(q.device());                                 // (H)
    at::Tensor kept = top_k ? best_columns(scores, count) : best_columns(scores, tau, false, 1);        // (H,M,N)
    kept = kept.to(at::kByte) * static_cast<int>(top_k ? KeepReason::TopK : KeepReason::Cumulative);
    const auto also = [&](const at::Tensor& where, KeepReason reason) {
      kept = at::where(kept.eq(0).logical_and(where), at::full({}, static_cast<int>(reason), kept.options()), kept);
    };
    if (p_.sink) also(at::arange(blocks, kept.options().dtype(at::kLong)).eq(0), KeepReason::Sink);
    also(good_k.logical_not().unsqueeze(1).logical_or(good_q.logical_not().unsqueeze(2)), KeepReason::Other);
    return kept.repeat_interleave(2, 1).narrow(1, 0, blocks);
  }

 private:
  /// A threshold of each head of a layer: tuned, or `value` for all.
  at::Tensor of_heads(const char* name, const LayerCall& call, double value) const {
    const std::int64_t heads = call.q.size(1);
    if (!p_.tuned) return at::full({heads}, value, at::kFloat);
    const Calibration::Table& table = p_.tuned->table(name, {call.layers, heads});
    const double* row = table.values.data() + static_cast<std::ptrdiff_t>(call.layer) * heads;
    return at::tensor(at::ArrayRef<double>(row, static_cast<std::size_t>(heads)), at::kFloat);
  }

  SpargeParameters p_;
};

}  // namespace

std::unique_ptr<Planner> make_spargeattn(const ParameterValues& parameters, int) {
  const std::string& file = std::get<std::string>(parameters.at("tuning"));
  return make_tuned_spargeattn(parameters, file == "off" ? nullptr : std::make_shared<const Calibration>(Calibration::read(file)));
}

std::unique_ptr<Planner> make_tuned_spargeattn(const ParameterValues& parameters, std::shared_ptr<const Calibration> tuned) {
  SpargeParameters p;
  p.tuned = std::move(tuned);
  p.kept_ratio = std::get<double>(parameters.at("kept_ratio"));
  p.cdf = std::get<double>(parameters.at("cdf"));
  p.similarity = std::get<double>(parameters.at("similarity"));
  p.top_k = std::get<std::string>(parameters.at("rule")) == "top-k";
  p.hilbert = std::get<std::string>(parameters.at("order")) == "hilbert";
  p.sink = std::get<bool>(parameters.at("sink"));
  p.pv_skip = std::get<double>(parameters.at("pv_skip"));
  return std::make_unique<SpargeAttn>(p);
}

}  // namespace ditscope
