// Radial attention: the further apart two frames are, the narrower the diagonal band between them, until it is thinned out.
//
// Li et al., NeurIPS 2025, arXiv:2506.19852; frames i, j of F tokens, d = |i - j|, b(x) = bit length of x, l(d) = 2^(b(F) - b(d)):
//   width(d) = F if d <= 1, else max(B, decay l(d));  keep token pair (r,c) of the two frames iff |r - c| <= width
//   thinning (decay not applied): where l(d) < 128, keep the frame pair only if d mod floor(128 / l(d)) = 0
//   first_frame_sink: every row keeps the columns of frame 0 (Wan);  text rows and columns always (HunyuanVideo)
//   to blocks of B: a column of a block is dense if on for more than 1/3 of its rows; keep the block if more than 0.6 of its columns
//   that are on at all are dense; frame pairs that share a block add up
//
// Differs from the paper: text joins the one call (the code attends to it apart and merges by log-sum-exp: the same numbers). The
// last block, which may have fewer rows, is judged by those it has, and every block sees itself: neither is lost, as they can be in
// the code.
#include <ATen/ATen.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <vector>

#include "core/attention/block_planner.h"
#include "core/attention/methods.h"
#include "kernels/keep_reason.h"

namespace ditscope {
namespace {

struct RadialParameters {
  double decay = 1;
  std::int64_t block_tokens = 128;
  std::string sink = "auto";
};

class Radial final : public StaticBlockPlanner {
 public:
  explicit Radial(const RadialParameters& parameters) : p_(parameters) {}
  std::unique_ptr<Planner> clone() const override { return std::make_unique<Radial>(*this); }
  std::optional<double> requested_kept_ratio() const override { return std::nullopt; }

 protected:
  BlockGrid lay_out(const TokenLayout& l) const override { return BlockGrid(l, p_.block_tokens, BlockGrid::Text::Joined); }

  at::Tensor choose(const TokenLayout& l, const BlockGrid& grid) const override {
    at::Tensor kept = at::zeros({1, grid.blocks(), grid.blocks()}, at::kByte);
    const bool sink = p_.sink == "on" || (p_.sink == "auto" && l.text_tokens == 0);
    for (std::int64_t i = 0; i < l.frames; ++i) {
      for (std::int64_t j = 0; j < l.frames; ++j) {
        const double width = sink && j == 0 ? static_cast<double>(l.sites()) : width_of(std::abs(i - j), l.sites());
        if (width >= 0) add_frame_pair(i * l.sites(), j * l.sites(), l, width, kept);
      }
    }
    // Frames of less than a third of a block never fill a column; no token loses those beside it.
    auto keeps = kept.accessor<std::uint8_t, 3>();
    for (std::int64_t m = 0; m < grid.blocks(); ++m) keeps[0][m][m] = static_cast<std::uint8_t>(KeepReason::Window);
    grid.keep_text(kept);
    return kept;
  }

 private:
  /// Below 0 where the pair is thinned out.
  double width_of(std::int64_t distance, std::int64_t sites) const {
    const double length = std::ldexp(1.0, static_cast<int>(std::bit_width(static_cast<std::uint64_t>(sites))) -
                                              static_cast<int>(std::bit_width(static_cast<std::uint64_t>(distance))));
    if (length < 128 && distance % static_cast<std::int64_t>(128 / length) != 0) return -1;
    if (distance <= 1) return static_cast<double>(sites);
    return std::max(static_cast<double>(p_.block_tokens), p_.decay * length);
  }

  /// The blocks of one frame pair whose first tokens are at `row` and `column`.
  void add_frame_pair(std::int64_t row, std::int64_t column, const TokenLayout& l, double width, at::Tensor& kept) const {
    auto keeps = kept.accessor<std::uint8_t, 3>();
    const std::int64_t sites = l.sites(), block = p_.block_tokens, reach = static_cast<std::int64_t>(std::floor(width));
    for (std::int64_t m = row / block; m * block < row + sites; ++m) {
      const std::int64_t first = std::max(m * block - row, std::int64_t{0}), last = std::min(m * block + block - row, sites);
      const std::int64_t filled = std::min(block, l.frames * sites - m * block);  // rows that the last block has
      for (std::int64_t n = column / block; n * block < column + sites; ++n) {
        std::int64_t on = 0, dense = 0;
        for (std::int64_t c = std::max(n * block - column, std::int64_t{0}); c < std::min(n * block + block - column, sites); ++c) {
          const std::int64_t rows = std::min(last, c + reach + 1) - std::max(first, c - reach);
          on += rows > 0;
          dense += static_cast<double>(rows) / static_cast<double>(filled) > 1.0 / 3;
        }
        if (static_cast<double>(dense) > 0.6 * static_cast<double>(on)) keeps[0][m][n] = static_cast<std::uint8_t>(KeepReason::Window);
      }
    }
  }

  RadialParameters p_;
};

}  // namespace

std::unique_ptr<Planner> make_radial(const ParameterValues& parameters, int) {
  RadialParameters p;
  p.decay = std::get<double>(parameters.at("decay"));
  p.block_tokens = std::stoll(std::get<std::string>(parameters.at("block_tokens")));
  p.sink = std::get<std::string>(parameters.at("first_frame_sink"));
  return std::make_unique<Radial>(p);
}

}  // namespace ditscope
