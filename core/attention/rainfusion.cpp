// RainFusion 2: tiles of 2 frames x 8 x 8 tokens become blocks, chosen row by row by attention between their means.
//
// arXiv:2512.24086, N tokens of T frames of F: frames 1..T-1 in tiles of (2,8,8) = 128, tokens that fill no tile after them, then
// frame 0, then text; blocks of 128 over that order, n of them:
//   P    = softmax(scale * q̄ k̄^T) over all blocks
//   keep P_ij >= the ceil(kept n)-th largest value of its row (ties kept)
//   rows and columns from block floor((T-1) F / 128) on (frame 0 and text) are always kept
//
// Differs from the paper:
// - One choice a layer and call, as the paper has it; `masks=forward` makes one in the first sparse layer for all, as a port does.
// - An image has no first frame: tiles of 8 x 16, and only text is always kept.
// - With an odd number of frames after the first, the last one joins the tokens that fill no tile (the code asks for an even one).
#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>

#include "core/attention/block_planner.h"
#include "core/attention/branch_states.h"
#include "core/attention/methods.h"
#include "kernels/permutation.h"

namespace ditscope {
namespace {

class RainFusion final : public BlockPlanner {
 public:
  RainFusion(double kept_ratio, bool once_a_forward) : kept_ratio_(kept_ratio), once_a_forward_(once_a_forward) {}
  std::unique_ptr<Planner> clone() const override { return std::make_unique<RainFusion>(*this); }
  std::optional<double> requested_kept_ratio() const override { return kept_ratio_; }

  Planned plan(const LayerCall& call, std::int64_t batch) override {
    if (!once_a_forward_) return BlockPlanner::plan(call, batch);
    LayerCall of_forward;  // one state for all layers
    of_forward.q = call.q;
    of_forward.branches = call.branches;
    First& first = *firsts_.of(of_forward)[static_cast<std::size_t>(batch)];
    const bool another = !first.selection || first.step != call.step || call.layer <= first.layer || !same_layout(first.layout, call.layout) ||
                         first.heads != call.q.size(1);
    if (another) first = {call.step, call.layer, call.q.size(1), call.layout, BlockPlanner::plan(call, batch).selection};
    return {first.selection};
  }
  void add_selections(std::set<const Selection*>& to) const override {
    firsts_.bytes([&](const First& first) {
      if (first.selection) to.insert(first.selection.get());
      return std::int64_t{0};
    });
  }

 protected:
  BlockGrid lay_out(const TokenLayout& l) const override {
    const std::int64_t sites = l.sites();
    if (l.frames == 1)
      return BlockGrid(l, 128, BlockGrid::Text::Joined, tile_order({1, l.rows, l.columns}, {1, 8, 16}, Remainder::Last).permutation);
    Permutation order = tile_order({l.frames - 1, l.rows, l.columns}, {2, 8, 8}, Remainder::Last).permutation;
    for (std::int32_t& token : order) token += static_cast<std::int32_t>(sites);
    for (std::int64_t site = 0; site < sites; ++site) order.push_back(static_cast<std::int32_t>(site));
    return BlockGrid(l, 128, BlockGrid::Text::Joined, order);
  }

  at::Tensor choose(const LayerCall& one, const BlockGrid& grid) const override {
    const std::int64_t blocks = grid.blocks(), frames = one.layout.frames;
    const std::int64_t always = frames == 1 ? grid.visual_blocks() : (frames - 1) * one.layout.sites() / 128;
    const at::Tensor q = grid.means(one.q[0]), k = grid.means(one.k[0]);  // (H,N,D)
    const at::Tensor scores = at::softmax(at::matmul(q, k.transpose(1, 2)) * one.scale, 2);
    const auto count = std::clamp<std::int64_t>(std::llround(std::ceil(kept_ratio_ * static_cast<double>(blocks))), 1, blocks);
    const at::Tensor least = std::get<0>(at::sort(scores, -1, /*descending=*/true)).narrow(2, count - 1, 1);
    at::Tensor kept = scores.ge(least).to(at::kCPU);  // (H,N,N)
    kept.slice(1, always).fill_(true);
    kept.slice(2, always).fill_(true);
    return kept;
  }

 private:
  /// The choice of the first sparse layer of a forward pass.
  struct First {
    int step = -1, layer = -1;
    std::int64_t heads = 0;
    TokenLayout layout;
    std::shared_ptr<const Selection> selection;
  };
  double kept_ratio_;
  bool once_a_forward_;
  BranchStates<First> firsts_;
};

}  // namespace

std::unique_ptr<Planner> make_rainfusion(const ParameterValues& parameters, int) {
  return std::make_unique<RainFusion>(std::get<double>(parameters.at("kept_ratio")),
                                      std::get<std::string>(parameters.at("masks")) == "forward");
}

}  // namespace ditscope
