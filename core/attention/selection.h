#pragma once
#include <ATen/core/Tensor.h>

#include <cstdint>
#include <memory>
#include <vector>

#include "core/attention/layer_call.h"
#include "kernels/block_mask.h"

namespace ditscope {

class BlockGrid;

/// Another order of tokens in which a mask needs few blocks. A slot is a place in that order; it holds a token or, where blocks
/// are filled up, none.
struct Arrangement {
  std::int64_t tokens = 0;
  at::Tensor queries;      // (S) or (H,S) long, CPU: token of each query slot, `tokens` where empty; every token once
  at::Tensor keys;         // (S) or (H,S) long, CPU: token of each key slot, `tokens` where empty; may hold a token twice
  at::Tensor query_slots;  // (T) or (H,T) long, CPU: slot of each query token, the inverse of `queries`
  at::Tensor query_places, key_places;  // `queries` and `keys` as kernels take them: int, -1 where empty

  /// @param keys  undefined: as `queries`
  static std::shared_ptr<const Arrangement> make(std::int64_t tokens, const at::Tensor& queries, const at::Tensor& keys = {});
  std::int64_t bytes() const;
};

/// (B,H,T,D) -> (B,H,S,D): rows by slot, zeros in empty slots.
at::Tensor in_slots(const at::Tensor& rows, const at::Tensor& tokens);
/// (H,S) or (H,S,D) -> (H,T) or (H,T,D): what the query slots hold, by token.
at::Tensor by_token(const at::Tensor& slots, const Arrangement& arrangement);

/// Which pairs one batch element computes: a mask over slots. An immutable value, shared between calls where it stays the same.
class Selection {
 public:
  /// @param arrangement null: tokens as they come
  /// @param kept_ratio, kept_ratio_blocks  below 0: those of the mask
  Selection(std::shared_ptr<const BlockMask> mask, std::shared_ptr<const Arrangement> arrangement = nullptr,
            double kept_ratio = -1, double kept_ratio_blocks = -1);
  /// A mask a head, each made for any head: for masks that differ in more than their blocks.
  Selection(std::vector<std::shared_ptr<const BlockMask>> masks, std::shared_ptr<const Arrangement> arrangement);

  bool by_head() const { return masks_.size() > 1; }
  /// The mask of all heads, or of one.
  const BlockMask& mask(std::int64_t head = 0) const { return *masks_[by_head() ? static_cast<std::size_t>(head) : 0]; }
  const std::shared_ptr<const BlockMask>& shared_mask() const { return masks_.front(); }
  const Arrangement* arrangement() const { return arrangement_.get(); }
  const std::shared_ptr<const Arrangement>& shared_arrangement() const { return arrangement_; }
  /// Kept pairs of tokens over all of them, and the same by 64 x 64 blocks.
  double kept_ratio() const { return kept_ratio_; }
  double kept_ratio_blocks() const { return kept_ratio_blocks_; }
  /// Where the mask keeps whole blocks of a grid: the grid and which blocks; else null and undefined.
  const std::shared_ptr<const BlockGrid>& grid() const { return grid_; }
  const at::Tensor& kept_blocks() const { return kept_blocks_; }  // (1 or H, N, N) bool, CPU
  /// (H) float32: which of the kept blocks the kernel may leave out as it meets them, see Int8Options::pv_skip; undefined: none.
  const at::Tensor& pv_skip() const { return pv_skip_; }
  void set_pv_skip(const at::Tensor& of_heads) { pv_skip_ = of_heads; }
  void set_blocks(std::shared_ptr<const BlockGrid> grid, const at::Tensor& kept_blocks);
  /// Why each kept block is kept, where the method says so: KeepReason of the blocks of the grid, or of 64 x 64 slots without one;
  /// (1,1,1) where one reason holds for all.
  const at::Tensor& reasons() const { return reasons_; }  // (1 or H, N, N) uint8, CPU; undefined: not said
  void set_reasons(const at::Tensor& reasons) { reasons_ = reasons; }
  /// Whether skipped() can be asked for: one mask, and no arrangement, whose empty slots it would keep.
  bool has_complement() const { return !arrangement_ && !by_head(); }
  /// The complement of the mask, made at the first call.
  const BlockMask& skipped() const;
  /// What it keeps of some query tokens, by token; one plane where all heads share it.
  at::Tensor kept_tokens(std::int64_t heads, at::IntArrayRef rows) const;  // (1 or H, rows, T) bool, CPU
  std::int64_t bytes() const;

 private:
  std::vector<std::shared_ptr<const BlockMask>> masks_;  ///< one, or (H)
  std::shared_ptr<const Arrangement> arrangement_;
  double kept_ratio_, kept_ratio_blocks_;
  std::shared_ptr<const BlockGrid> grid_;
  at::Tensor kept_blocks_, pv_skip_, reasons_;
  mutable std::shared_ptr<const BlockMask> skipped_;
};

/// One batch element of a call, its tokens in the slots of the arrangement; null: as they come.
LayerCall element_in_slots(const LayerCall& call, std::int64_t batch, const Arrangement* arrangement);

/// out = row_scale * softmax over what the selection keeps V + residual, all in slots: masked_attention() for a selection.
/// @param one  a call of one batch element, tokens in slots     @param out (1,H,S,D)
void selected_attention(const LayerCall& one, const Selection& selection, const at::Tensor& row_scale, const at::Tensor& residual,
                        at::Tensor& out, const at::Tensor& log_sum_exp = {});
/// out[batch] = softmax over what the selection keeps V, tokens fetched from where they are and put back by token, none moved
/// before. @return false, with nothing written, where no kernel can: then in slots, as above
bool attend_in_place(const LayerCall& call, std::int64_t batch, const Selection& selection, at::Tensor& out);
/// What a selection keeps of some query slots. @return (1 or H, rows, S) bool, CPU
at::Tensor kept_slot_rows(const Selection& selection, std::int64_t heads, at::IntArrayRef rows);

}  // namespace ditscope
