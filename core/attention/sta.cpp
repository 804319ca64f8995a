// Sliding tile attention: tiles of the grid see the tiles around them, clamped at the borders so that all see as many.
//
// Zhang et al., ICML 2025, arXiv:2502.04507, tiles of (frames, rows, columns) tokens in tile-major order, n tiles along an axis,
// window kappa (tiles) along it:
//   centre = clamp(query tile, floor(kappa/2), n-1-floor(kappa/2));  keep |centre - key tile| <= floor(kappa/2) on all three axes
//   kappa >= n: the whole axis.  An even kappa spans kappa+1 tiles, as the code has it.
//   text rows and columns are always kept
//
// Differs from the paper:
// - One window for all heads and steps unless `windows` names a calibration; the paper always finds one per (step, layer, head), among
//   candidates of its own per model. Ours are in core/pipeline/calibrate_sta.cpp.
// - Tiles at the border of a grid that they do not divide are filled up with empty slots; the code refuses such grids.
// - `tile=auto` is 6x8x8, the paper's, where it divides the grid, else 4x4x4.
#include <ATen/ATen.h>

#include <algorithm>
#include <cstdlib>
#include <map>

#include "core/attention/block_planner.h"
#include "core/attention/calibration.h"
#include "core/attention/methods.h"
#include "kernels/error.h"
#include "kernels/keep_reason.h"
#include "kernels/permutation.h"

namespace ditscope {
namespace {

struct Size3 {
  std::int64_t frames, rows, columns;
};

Size3 tile_of(const TokenLayout& l, const std::string& tile) {
  const bool divides = l.frames % 6 == 0 && l.rows % 8 == 0 && l.columns % 8 == 0;
  if (tile == "6x8x8" || (tile == "auto" && divides)) return {6, 8, 8};
  if (tile == "1x8x8") return {1, 8, 8};
  return {4, 4, 4};
}

BlockGrid grid_in_tiles(const TokenLayout& l, const Size3& t) {
  const TiledOrder tiles = tile_order({l.frames, l.rows, l.columns}, {t.frames, t.rows, t.columns});
  return BlockGrid(l, 64, BlockGrid::Text::Apart, tiles.permutation, {tiles.block_offsets.begin() + 1, tiles.block_offsets.end() - 1});
}

/// The blocks that a window keeps.
at::Tensor window_plane(const TokenLayout& l, const Size3& t, const BlockGrid& grid, const Size3& window) {  // (1,N,N) KeepReason
  const Size3 n{(l.frames + t.frames - 1) / t.frames, (l.rows + t.rows - 1) / t.rows, (l.columns + t.columns - 1) / t.columns};
  const TiledOrder tiles = tile_order({l.frames, l.rows, l.columns}, {t.frames, t.rows, t.columns});
  std::vector<Size3> tile_of_block;  // small tiles at a border take fewer blocks
  for (std::size_t i = 0; i + 1 < tiles.block_offsets.size(); ++i) {
    const std::int64_t count = tiles.block_offsets[i + 1] - tiles.block_offsets[i], number = static_cast<std::int64_t>(i);
    const Size3 place{number / (n.rows * n.columns), number / n.columns % n.rows, number % n.columns};
    for (std::int64_t b = 0; b < (count + 63) / 64; ++b) tile_of_block.push_back(place);
  }
  const auto sees = [](std::int64_t query, std::int64_t key, std::int64_t along, std::int64_t tiles_along) {
    if (along >= tiles_along) return true;
    const std::int64_t half = along / 2, last = std::max(half, tiles_along - 1 - half);
    return std::abs(std::clamp(query, half, last) - key) <= half;
  };
  at::Tensor kept = at::zeros({1, grid.blocks(), grid.blocks()}, at::kByte);
  auto keeps = kept.accessor<std::uint8_t, 3>();
  for (std::size_t i = 0; i < tile_of_block.size(); ++i) {
    for (std::size_t j = 0; j < tile_of_block.size(); ++j) {
      const Size3 &q = tile_of_block[i], &k = tile_of_block[j];
      const bool seen = sees(q.frames, k.frames, window.frames, n.frames) && sees(q.rows, k.rows, window.rows, n.rows) &&
                        sees(q.columns, k.columns, window.columns, n.columns);
      keeps[0][i][j] = static_cast<std::uint8_t>(seen ? KeepReason::Window : KeepReason::None);
    }
  }
  grid.keep_text(kept);
  return kept;
}

class SlidingTiles final : public StaticBlockPlanner {
 public:
  SlidingTiles(const Size3& window, const std::string& tile) : window_(window), tile_(tile) {}
  std::unique_ptr<Planner> clone() const override { return std::make_unique<SlidingTiles>(*this); }
  std::optional<double> requested_kept_ratio() const override { return std::nullopt; }

 protected:
  BlockGrid lay_out(const TokenLayout& l) const override { return grid_in_tiles(l, tile_of(l, tile_)); }
  at::Tensor choose(const TokenLayout& l, const BlockGrid& grid) const override {
    return window_plane(l, tile_of(l, tile_), grid, window_);
  }

 private:
  Size3 window_;
  std::string tile_;
};

/// A window for every step, layer and head, from a calibration: tables `candidates` (K,3) and `window` (S,L,H), numbers of candidates.
class TunedTiles final : public Planner {
 public:
  TunedTiles(Calibration calibration, const std::string& tile)
      : calibration_(std::make_shared<const Calibration>(std::move(calibration))), tile_(tile) {}
  std::unique_ptr<Planner> clone() const override { return std::make_unique<TunedTiles>(*this); }
  std::optional<double> requested_kept_ratio() const override { return std::nullopt; }

  Planned plan(const LayerCall& call, std::int64_t) override {
    const TokenLayout& l = call.layout;
    if (!grid_ || !same_layout(layout_, l)) {
      grid_ = std::make_shared<const BlockGrid>(grid_in_tiles(l, tile_of(l, tile_)));
      layout_ = l;
      selections_.clear();
    }
    const std::int64_t heads = call.q.size(1);
    const auto& windows = calibration_->table("window", {calibration_->key.steps, call.layers, heads});
    std::vector<std::int64_t> of_heads;
    for (std::int64_t h = 0; h < heads; ++h)
      of_heads.push_back(static_cast<std::int64_t>(windows.at({std::min(call.step, calibration_->key.steps - 1), call.layer, h})));
    std::shared_ptr<const Selection>& selection = selections_[of_heads];
    if (!selection) {
      std::vector<at::Tensor> planes;
      for (const std::int64_t number : of_heads) planes.push_back(window_plane(l, tile_of(l, tile_), *grid_, candidate(number)));
      selection = select(grid_, at::cat(planes));
    }
    return {selection};
  }
  void add_selections(std::set<const Selection*>& to) const override {
    for (const auto& [windows, selection] : selections_) to.insert(selection.get());
  }

 private:
  Size3 candidate(std::int64_t number) const {
    const auto found = calibration_->tables.find("candidates");
    if (found == calibration_->tables.end() || found->second.shape.size() != 2 || number < 0 || number >= found->second.shape[0] ||
        found->second.shape[1] != 3)
      throw Error(ErrorKind::Corrupt, "expected candidate windows (K,3) with number " + std::to_string(number) +
                                          " in the calibration, got none; make it anew with ditscope-cli calibrate");
    const auto size = [&](std::int64_t axis) { return static_cast<std::int64_t>(found->second.at({number, axis})); };
    return {size(0), size(1), size(2)};
  }

  std::shared_ptr<const Calibration> calibration_;
  std::string tile_;
  TokenLayout layout_;
  std::shared_ptr<const BlockGrid> grid_;
  std::map<std::vector<std::int64_t>, std::shared_ptr<const Selection>> selections_;  ///< by the windows of the heads
};

}  // namespace

std::unique_ptr<Planner> make_sta(const ParameterValues& parameters, int) {
  const auto integer = [&](const char* key) { return std::get<std::int64_t>(parameters.at(key)); };
  const std::string &tile = std::get<std::string>(parameters.at("tile")), &windows = std::get<std::string>(parameters.at("windows"));
  if (windows != "same") return std::make_unique<TunedTiles>(Calibration::read(windows), tile);
  return std::make_unique<SlidingTiles>(Size3{integer("window_frames"), integer("window_rows"), integer("window_columns")}, tile);
}

}  // namespace ditscope
