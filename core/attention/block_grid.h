#pragma once
#include <ATen/core/Tensor.h>

#include <cstdint>
#include <memory>
#include <set>
#include <vector>

#include "core/attention/selection.h"

namespace ditscope {

/// Tokens cut into blocks: visual ones first, in an order of the method's, then text. The units that plans choose from.
class BlockGrid {
 public:
  enum class Text {
    Joined,  ///< blocks run on from visual tokens into text; one that holds any text is a text block
    Apart,   ///< the last visual block is filled up with empty slots, so that none holds both
  };
  /// @param visual_order  place p holds raster token visual_order[p] (frames, rows, columns); empty: raster order
  /// @param tile_ends     places after which slots are filled up to whole blocks, ascending; for tiles. Needs Text::Apart
  BlockGrid(const TokenLayout& layout, std::int64_t block_tokens, Text text, const std::vector<std::int32_t>& visual_order = {},
            const std::vector<std::int64_t>& tile_ends = {});

  std::int64_t block_tokens() const { return block_tokens_; }
  std::int64_t blocks() const { return blocks_; }
  std::int64_t visual_blocks() const { return visual_blocks_; }
  std::int64_t text_blocks() const { return blocks_ - visual_blocks_; }
  /// The first slot of text.
  std::int64_t text_slot() const { return text_slot_; }
  /// Tokens in each block, empty slots left out.
  const at::Tensor& counts() const { return counts_; }  // (N) double, CPU
  /// Null: tokens lie as they come.
  const std::shared_ptr<const Arrangement>& arrangement() const { return arrangement_; }

  /// Sum of the rows of each block, and their mean. @param rows (H,S,C), zeros in empty slots
  at::Tensor sums(const at::Tensor& rows) const;   // (H,N,C)
  at::Tensor means(const at::Tensor& rows) const;  // (H,N,C) float32
  /// Keeps text rows and columns in `kept`, for being text where it holds reasons.
  void keep_text(at::Tensor& kept) const;

 private:
  friend std::shared_ptr<const Selection> select(const std::shared_ptr<const BlockGrid>& grid, const at::Tensor& kept);
  std::int64_t block_tokens_, tokens_, slots_ = 0, text_slot_ = 0, blocks_ = 0, visual_blocks_ = 0;
  at::Tensor counts_;
  std::shared_ptr<const Arrangement> arrangement_;
  std::vector<std::uint64_t> valid_keys_;  ///< empty: no empty slots
};

/// The pairs of kept blocks. @param kept (1 or H, N, N) bool, or uint8: KeepReason of kept blocks, 0 of the others; one plane for all heads
std::shared_ptr<const Selection> select(const std::shared_ptr<const BlockGrid>& grid, const at::Tensor& kept);

bool same_layout(const TokenLayout& a, const TokenLayout& b);

/// A value made for the latest layout; copies share it.
template <typename Value>
class PerLayout {
 public:
  template <typename Make>
  const std::shared_ptr<const Value>& of(const TokenLayout& layout, const Make& make) {
    if (!value_ || !same_layout(layout, layout_)) {
      value_ = make();
      layout_ = layout;
    }
    return value_;
  }
  const std::shared_ptr<const Value>& latest() const { return value_; }
  void add_to(std::set<const Value*>& values) const {
    if (value_) values.insert(value_.get());
  }

 private:
  TokenLayout layout_;
  std::shared_ptr<const Value> value_;
};

}  // namespace ditscope
