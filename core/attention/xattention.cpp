// XAttention: blocks chosen by the antidiagonals of the score matrix, summed with a stride.
//
// Xu et al., ICML 2025, arXiv:2503.16428, blocks of B = 128, stride S; group g holds tokens gS .. gS+S-1:
//   K'_g = [k_gS ; k_gS+1 ; ...],  Q'_g = [q_gS+S-1 ; q_gS+S-2 ; ...]      folded rows of S D channels
//   A    = softmax(scale / S * Q' K'^T):  Q'_g . K'_h sums one antidiagonal of the S x S tile (g,h)
//   P    = sums of A over the groups of each block, divided by the sum of the row
//   each row keeps its best blocks until they hold `threshold` of P, the one that crosses included
//
// Differs from the paper: not causal, for a denoiser has no order in time; text has no blocks of its own. Groups at the end of the
// sequence that hold no token have no share.
#include <ATen/ATen.h>

#include <limits>

#include "core/attention/block_planner.h"
#include "core/attention/methods.h"

namespace ditscope {
namespace {

class XAttention final : public BlockPlanner {
 public:
  XAttention(double threshold, std::int64_t stride) : threshold_(threshold), stride_(stride) {}
  std::unique_ptr<Planner> clone() const override { return std::make_unique<XAttention>(*this); }
  std::optional<double> requested_kept_ratio() const override { return std::nullopt; }
  bool keeps_everything() const override { return threshold_ >= 1; }

 protected:
  BlockGrid lay_out(const TokenLayout& l) const override {
    if (l.order != TokenOrder::FrameMajor) return BlockGrid(l, 128, BlockGrid::Text::Joined);
    TokenLayout plain;  // tokens as they come, wherever text is
    plain.columns = l.tokens();
    return BlockGrid(plain, 128, BlockGrid::Text::Joined);
  }

  at::Tensor choose(const LayerCall& one, const BlockGrid& grid) const override {
    const std::int64_t tokens = one.q.size(2), blocks = grid.blocks(), groups = blocks * 128 / stride_;
    const std::int64_t filled = (tokens + stride_ - 1) / stride_;  // groups that hold a token
    const auto folded = [&](const at::Tensor& rows, bool reversed) {
      at::Tensor x = at::constant_pad_nd(rows.to(at::kFloat), {0, 0, 0, groups * stride_ - tokens});
      x = x.unflatten(1, {groups, stride_});  // (H,G,S,D)
      return (reversed ? x.flip(2) : x).flatten(2);
    };
    at::Tensor logits = at::matmul(folded(one.q[0], true), folded(one.k[0], false).transpose(1, 2)) * (one.scale / static_cast<double>(stride_));
    logits.slice(2, filled).fill_(-std::numeric_limits<double>::infinity());
    at::Tensor shares = at::softmax(logits, 2);  // (H,G,G)
    shares.slice(1, filled).zero_();
    const std::int64_t of_block = 128 / stride_;
    shares = shares.unflatten(2, {blocks, of_block}).sum(3).unflatten(1, {blocks, of_block}).sum(2);  // (H,N,N)
    return best_columns(shares / shares.sum(2, true), threshold_, true, 1);
  }

 private:
  double threshold_;
  std::int64_t stride_;
};

}  // namespace

std::unique_ptr<Planner> make_xattention(const ParameterValues& parameters, int) {
  return std::make_unique<XAttention>(std::get<double>(parameters.at("threshold")),
                                      std::stoll(std::get<std::string>(parameters.at("stride"))));
}

}  // namespace ditscope
