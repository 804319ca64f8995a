// PAROAttention: every head lays its tokens along the order of axes in which its attention is most block-like, and keeps the heaviest
// blocks there.
//
// Zhao et al. 2025, arXiv:2506.16054, blocks of 64, six orders of (frames, rows, columns):
//   of the post-softmax map in each order:  s = share of blocks of which >= 90 % of the entries are < 1e-3,
//                                           u = mean over blocks of maximum / mean
//   order of a head = argmin of alpha norm(1 - s) + (1 - alpha) norm(u),  norm over the six orders to 0..1
//   keep the kept n^2 blocks with the largest attention sums of the head; text rows and columns and the last block always
//
// The paper leaves open which sign s has in that sum, and gives no alpha: `sparse_term` and `alpha`.
//
// Differs from the paper:
// - It calibrates on one or two prompts offline and stores orders and masks by step. Ours does so within the run, at `search_steps`:
//   such a step is full, and the steps after it reuse what it found.
// - s and u are taken over at most 8 rows of blocks, spread evenly, not over the whole map.
// - Its QK int8 and PV int8 or int4 are a matter of kernels, not of the plan.
#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>

#include "core/attention/block_grid.h"
#include "core/attention/branch_states.h"
#include "core/attention/methods.h"
#include "core/bridge/block_scores.h"
#include "kernels/permutation.h"

namespace ditscope {
namespace {

constexpr std::int64_t kBlock = 64, kSampledBlocks = 8;
constexpr double kNegligible = 1e-3, kSparseShare = 0.9;

/// The same blocks in each of the six orders of axes.
struct Grids {
  std::vector<std::shared_ptr<const BlockGrid>> grids;
  std::vector<at::Tensor> slots;  // (T) token of each slot
};

Grids grids_of(const TokenLayout& l) {
  using enum GridAxis;
  Grids all;
  for (const AxisOrder& axes : {AxisOrder{Frames, Rows, Columns}, {Frames, Columns, Rows}, {Rows, Frames, Columns},
                                {Rows, Columns, Frames}, {Columns, Frames, Rows}, {Columns, Rows, Frames}}) {
    all.grids.push_back(std::make_shared<const BlockGrid>(l, kBlock, BlockGrid::Text::Joined, axis_order({l.frames, l.rows, l.columns}, axes)));
    const auto& arrangement = all.grids.back()->arrangement();
    all.slots.push_back(arrangement ? arrangement->queries : at::arange(l.tokens(), at::kLong));
  }
  return all;
}

class Paro final : public Planner {
 public:
  /// @param sparse_orders  an order with more empty blocks is the better one; else the worse
  Paro(double kept_ratio, std::vector<int> search_steps, double alpha, bool sparse_orders)
      : kept_ratio_(kept_ratio), search_steps_(std::move(search_steps)), alpha_(alpha), sparse_orders_(sparse_orders) {}
  std::unique_ptr<Planner> clone() const override { return std::make_unique<Paro>(*this); }
  std::optional<double> requested_kept_ratio() const override { return kept_ratio_; }
  int replay_from(int step) const override {
    const int search = latest_search(search_steps_, step);
    return search < 0 ? step : search;
  }

  Planned plan(const LayerCall& call, std::int64_t batch) override {
    State& state = *states_.of(call)[static_cast<std::size_t>(batch)];
    const std::vector<std::int64_t> shape = call.q.sizes().slice(1).vec();
    if (state.shape != shape || !same_layout(state.layout, call.layout)) state = {};
    if (state.selection && state.searched_at >= latest_search(search_steps_, call.step) && state.searched_at <= call.step) return {state.selection};

    const Grids& grids = *all_.of(call.layout, [&] { return std::make_shared<const Grids>(grids_of(call.layout)); });
    const at::Tensor order = best_orders(call, batch, grids);  // (H)
    std::vector<at::Tensor> slots;
    for (std::int64_t h = 0; h < call.q.size(1); ++h) slots.push_back(grids.slots[static_cast<std::size_t>(order[h].item<std::int64_t>())]);
    const auto arrangement = Arrangement::make(call.q.size(2), at::stack(slots));
    const BlockSearch search = block_search(element_in_slots(call, batch, arrangement.get()), kBlock);
    const auto selected = select(grids.grids[0], heaviest(search.mass.to(at::kCPU), *grids.grids[0]));
    state = {std::make_shared<const Selection>(selected->shared_mask(), arrangement), call.step, shape, call.layout};
    Planned planned{state.selection, by_token(search.out, *arrangement)};
    planned.searched = true;
    return planned;
  }

  void add_selections(std::set<const Selection*>& to) const override {
    states_.bytes([&](const State& state) {
      if (state.selection) to.insert(state.selection.get());
      return std::int64_t{0};
    });
  }
  std::int64_t estimate_bytes(const MethodSizes& s) const override {
    const double blocks = std::ceil(static_cast<double>(s.tokens) / kBlock);
    const auto visits = static_cast<std::int64_t>(std::min(1.0, kept_ratio_) * blocks * blocks);
    return s.layers * s.batch * s.heads * (s.tokens * 16 + visits * static_cast<std::int64_t>(sizeof(BlockMask::Visit)));
  }

 private:
  struct State {
    std::shared_ptr<const Selection> selection;
    int searched_at = 0;
    std::vector<std::int64_t> shape;  // (H,T,D)
    TokenLayout layout;
  };

  at::Tensor best_orders(const LayerCall& call, std::int64_t batch, const Grids& grids) const {  // (H) long
    std::vector<at::Tensor> sparse, uneven;  // six of (H)
    for (std::size_t i = 0; i < grids.grids.size(); ++i) {
      const BlockGrid& grid = *grids.grids[i];
      const LayerCall one = element_in_slots(call, batch, grid.arrangement().get());
      const std::int64_t tokens = one.q.size(2), count = std::min(kSampledBlocks, grid.blocks()), empty = grid.blocks() * kBlock - tokens;
      at::Tensor columns = at::full({grid.blocks()}, static_cast<double>(kBlock), one.q.options().dtype(at::kFloat));  // (N) keys of a block
      columns[-1] -= empty;
      std::vector<at::Tensor> share, ratio;  // of each sampled row of blocks, (H)
      for (std::int64_t b = 0; b < count; ++b) {
        const std::int64_t first = b * grid.blocks() / count * kBlock, last = std::min(first + kBlock, tokens);
        const at::Tensor logits = at::matmul(one.q[0].slice(1, first, last).to(at::kFloat), one.k[0].to(at::kFloat).transpose(1, 2)) * call.scale;
        const at::Tensor p = at::constant_pad_nd(at::softmax(logits, 2), {0, empty}).unflatten(2, {grid.blocks(), kBlock});  // (H,64,N,64)
        const at::Tensor entries = columns * static_cast<double>(last - first);                                            // (N)
        const at::Tensor large = p.ge(kNegligible).sum({1, 3}).to(at::kFloat);                                             // (H,N)
        share.push_back(large.le((1 - kSparseShare) * entries).to(at::kFloat).mean(1));
        ratio.push_back((p.amax({1, 3}) / (p.sum({1, 3}) / entries).clamp_min(1e-30)).mean(1));
      }
      sparse.push_back(at::stack(share).mean(0));
      uneven.push_back(at::stack(ratio).mean(0));
    }
    const auto normed = [](const at::Tensor& x) { return (x - x.amin(0, true)) / (x.amax(0, true) - x.amin(0, true)).clamp_min(1e-12); };
    const at::Tensor s = at::stack(sparse);
    return (alpha_ * normed(sparse_orders_ ? 1 - s : s) + (1 - alpha_) * normed(at::stack(uneven))).argmin(0).to(at::kCPU);
  }

  at::Tensor heaviest(const at::Tensor& mass, const BlockGrid& grid) const {  // (H,n,n) bool
    const std::int64_t heads = mass.size(0), n = grid.blocks();
    const auto count = std::clamp<std::int64_t>(std::llround(kept_ratio_ * static_cast<double>(n * n)), 1, n * n);
    const at::Tensor best = at::argsort(mass.flatten(1), /*stable=*/true, 1, /*descending=*/true).narrow(1, 0, count);
    at::Tensor kept = at::zeros({heads, n * n}, at::kBool).scatter_(1, best, true).view({heads, n, n});
    grid.keep_text(kept);
    kept.select(1, n - 1).fill_(true);
    kept.select(2, n - 1).fill_(true);
    return kept;
  }

  double kept_ratio_;
  std::vector<int> search_steps_;
  double alpha_;
  bool sparse_orders_;
  PerLayout<Grids> all_;
  BranchStates<State> states_;
};

}  // namespace

std::unique_ptr<Planner> make_paroattention(const ParameterValues& parameters, int steps) {
  return std::make_unique<Paro>(std::get<double>(parameters.at("kept_ratio")), steps_of(std::get<std::string>(parameters.at("search_steps")), steps),
                                std::get<double>(parameters.at("alpha")), std::get<std::string>(parameters.at("sparse_term")) == "1-s");
}

}  // namespace ditscope
