// DraftAttention: patches of 8 x 16 tokens of a frame become blocks, chosen by attention between their means.
//
// Shen et al. 2025, arXiv:2505.14708, blocks of 128 = 8 rows x 16 columns of one frame, S of them:
//   A   = softmax(scale * q̄ k̄^T) over visual blocks
//   thr = the largest of the int((1 - kept) S^2) smallest entries of a head; keep A >= thr (ties kept; nothing to skip keeps all)
//   text rows and columns are always kept; a row may keep nothing else
//
// Differs from the paper: a patch at the edge of a frame that 8 x 16 does not divide is filled up with empty slots and its means are
// over its tokens, where the code refuses such frames.
#include <ATen/ATen.h>

#include "core/attention/block_planner.h"
#include "core/attention/methods.h"
#include "kernels/permutation.h"

namespace ditscope {
namespace {

class DraftAttention final : public BlockPlanner {
 public:
  explicit DraftAttention(double kept_ratio) : kept_ratio_(kept_ratio) {}
  std::unique_ptr<Planner> clone() const override { return std::make_unique<DraftAttention>(*this); }
  std::optional<double> requested_kept_ratio() const override { return kept_ratio_; }

 protected:
  BlockGrid lay_out(const TokenLayout& l) const override {
    const TiledOrder tiles = tile_order({l.frames, l.rows, l.columns}, {1, 8, 16});
    return BlockGrid(l, 128, BlockGrid::Text::Apart, tiles.permutation,
                     {tiles.block_offsets.begin() + 1, tiles.block_offsets.end() - 1});
  }

  at::Tensor choose(const LayerCall& one, const BlockGrid& grid) const override {
    const std::int64_t visual = grid.visual_blocks(), heads = one.q.size(1), all = visual * visual;
    const at::Tensor q = grid.means(one.q[0]).narrow(1, 0, visual), k = grid.means(one.k[0]).narrow(1, 0, visual);
    const at::Tensor draft = at::softmax(at::matmul(q, k.transpose(1, 2)) * one.scale, 2).flatten(1).to(at::kCPU);  // (H,V*V)
    const auto skipped = static_cast<std::int64_t>((1 - kept_ratio_) * static_cast<double>(all));
    at::Tensor kept = at::zeros({heads, grid.blocks(), grid.blocks()}, at::kBool);
    at::Tensor among = at::ones({heads, all}, at::kBool);
    if (skipped > 0) among = draft.ge(std::get<0>(at::sort(draft, -1)).narrow(1, skipped - 1, 1));
    kept.slice(1, 0, visual).slice(2, 0, visual).copy_(among.view({heads, visual, visual}));
    grid.keep_text(kept);
    return kept;
  }

 private:
  double kept_ratio_;
};

}  // namespace

std::unique_ptr<Planner> make_draftattention(const ParameterValues& parameters, int) {
  return std::make_unique<DraftAttention>(std::get<double>(parameters.at("kept_ratio")));
}

}  // namespace ditscope
