// Sliding tile attention: tiles of the grid see the tiles around them, clamped at the borders so that all see as many.
//
// Zhang et al., ICML 2025, arXiv:2502.04507, tiles of (frames, rows, columns) tokens in tile-major order, n tiles along an axis,
// window kappa (tiles) along it:
//   centre = clamp(query tile, floor(kappa/2), n-1-floor(kappa/2));  keep |centre - key tile| <= floor(kappa/2) on all three axes
//   kappa >= n: the whole axis.  An even kappa spans kappa+1 tiles, as the code has it.
//   text rows and columns are always kept
//
// Differs from the paper:
// - One window for all heads and steps; the paper finds one per (step, layer, head) on calibration prompts.
// - Tiles at the border of a grid that they do not divide are filled up with empty slots; the code refuses such grids.
// - `tile=auto` is 6x8x8, the paper's, where it divides the grid, else 4x4x4.
#include <ATen/ATen.h>

#include <algorithm>
#include <cstdlib>

#include "core/attention/block_planner.h"
#include "core/attention/methods.h"
#include "kernels/permutation.h"

namespace ditscope {
namespace {

struct Size3 {
  std::int64_t frames, rows, columns;
};

class SlidingTiles final : public StaticBlockPlanner {
 public:
  SlidingTiles(const Size3& window, const std::string& tile) : window_(window), tile_(tile) {}
  std::unique_ptr<Planner> clone() const override { return std::make_unique<SlidingTiles>(*this); }
  std::optional<double> requested_kept_ratio() const override { return std::nullopt; }

 protected:
  Size3 tile(const TokenLayout& l) const {
    const bool divides = l.frames % 6 == 0 && l.rows % 8 == 0 && l.columns % 8 == 0;
    if (tile_ == "6x8x8" || (tile_ == "auto" && divides)) return {6, 8, 8};
    if (tile_ == "1x8x8") return {1, 8, 8};
    return {4, 4, 4};
  }

  BlockGrid lay_out(const TokenLayout& l) const override {
    const Size3 t = tile(l);
    const TiledOrder tiles = tile_order({l.frames, l.rows, l.columns}, {t.frames, t.rows, t.columns});
    return BlockGrid(l, 64, BlockGrid::Text::Apart, tiles.permutation, {tiles.block_offsets.begin() + 1, tiles.block_offsets.end() - 1});
  }

  at::Tensor choose(const TokenLayout& l, const BlockGrid& grid) const override {
    const Size3 t = tile(l);
    const Size3 n{(l.frames + t.frames - 1) / t.frames, (l.rows + t.rows - 1) / t.rows, (l.columns + t.columns - 1) / t.columns};
    const TiledOrder tiles = tile_order({l.frames, l.rows, l.columns}, {t.frames, t.rows, t.columns});
    std::vector<Size3> tile_of_block;  // small tiles at a border take fewer blocks
    for (std::size_t i = 0; i + 1 < tiles.block_offsets.size(); ++i) {
      const std::int64_t count = tiles.block_offsets[i + 1] - tiles.block_offsets[i], number = static_cast<std::int64_t>(i);
      const Size3 place{number / (n.rows * n.columns), number / n.columns % n.rows, number % n.columns};
      for (std::int64_t b = 0; b < (count + 63) / 64; ++b) tile_of_block.push_back(place);
    }
    const auto sees = [](std::int64_t query, std::int64_t key, std::int64_t window, std::int64_t tiles_along) {
      if (window >= tiles_along) return true;
      const std::int64_t half = window / 2, last = std::max(half, tiles_along - 1 - half);
      return std::abs(std::clamp(query, half, last) - key) <= half;
    };
    at::Tensor kept = at::zeros({1, grid.blocks(), grid.blocks()}, at::kBool);
    auto keeps = kept.accessor<bool, 3>();
    for (std::size_t i = 0; i < tile_of_block.size(); ++i) {
      for (std::size_t j = 0; j < tile_of_block.size(); ++j) {
        const Size3 &q = tile_of_block[i], &k = tile_of_block[j];
        keeps[0][i][j] = sees(q.frames, k.frames, window_.frames, n.frames) && sees(q.rows, k.rows, window_.rows, n.rows) &&
                         sees(q.columns, k.columns, window_.columns, n.columns);
      }
    }
    grid.keep_text(kept);
    return kept;
  }

 private:
  Size3 window_;
  std::string tile_;
};

}  // namespace

std::unique_ptr<Planner> make_sta(const ParameterValues& parameters, int) {
  const auto integer = [&](const char* key) { return std::get<std::int64_t>(parameters.at(key)); };
  return std::make_unique<SlidingTiles>(Size3{integer("window_frames"), integer("window_rows"), integer("window_columns")},
                                        std::get<std::string>(parameters.at("tile")));
}

}  // namespace ditscope
