#pragma once
#include <memory>
#include <set>

#include "core/attention/block_grid.h"
#include "core/attention/planner.h"

namespace ditscope {

/// A plan that chooses blocks of a grid anew at every call, from the queries and keys of that call alone.
class BlockPlanner : public Planner {
 public:
  Planned plan(const LayerCall& call, std::int64_t batch) override {
    const std::shared_ptr<const BlockGrid> grid = grid_of(call.layout);
    return {select(grid, choose(element_in_slots(call, batch, grid->arrangement().get()), *grid))};
  }
  std::int64_t bytes_held() const override {
    const auto& grid = grids_.latest();
    return grid && grid->arrangement() ? grid->arrangement()->bytes() : 0;
  }

 protected:
  virtual BlockGrid lay_out(const TokenLayout& layout) const = 0;
  /// @param one  a batch element, tokens in the slots of the grid
  virtual at::Tensor choose(const LayerCall& one, const BlockGrid& grid) const = 0;  // (1 or H, N, N) bool, or KeepReason

  const std::shared_ptr<const BlockGrid>& grid_of(const TokenLayout& layout) {
    return grids_.of(layout, [&] { return std::make_shared<const BlockGrid>(lay_out(layout)); });
  }

 private:
  PerLayout<BlockGrid> grids_;
};

/// A plan of blocks that follows the layout alone: made once.
class StaticBlockPlanner : public Planner {
 public:
  Planned plan(const LayerCall& call, std::int64_t) override {
    return {selections_.of(call.layout, [&] {
      const auto grid = std::make_shared<const BlockGrid>(lay_out(call.layout));
      return select(grid, choose(call.layout, *grid));
    })};
  }
  void add_selections(std::set<const Selection*>& to) const override { selections_.add_to(to); }

 protected:
  virtual BlockGrid lay_out(const TokenLayout& layout) const = 0;
  virtual at::Tensor choose(const TokenLayout& layout, const BlockGrid& grid) const = 0;  // (1,N,N) bool, or KeepReason

 private:
  PerLayout<Selection> selections_;
};

/// Keeps the best columns of each row until their sum first exceeds `mass_ratio`; all of them from 1 on. Equal ones go by lower number.
/// @param scores (H,M,N) >= 0, rows summing to 1     @param crossing  whether the column with which it exceeds counts
/// @param least  columns that every row keeps
at::Tensor best_columns(const at::Tensor& scores, double mass_ratio, bool crossing, std::int64_t least);  // (H,M,N) bool
/// The same with a share a head. @param mass_ratio (H)
at::Tensor best_columns(const at::Tensor& scores, const at::Tensor& mass_ratio, bool crossing, std::int64_t least);
/// Keeps the `count` best columns of each row.
at::Tensor best_columns(const at::Tensor& scores, std::int64_t count);  // (H,M,N) bool

}  // namespace ditscope
