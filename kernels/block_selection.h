#pragma once
#include <cstdint>
#include <limits>
#include <vector>

#include "kernels/block_mask.h"
#include "kernels/block_sparse_attention.h"
#include "kernels/permutation.h"
#include "kernels/tensor_view.h"

namespace ditscope {

/// Which key blocks each query block of each head keeps: one bit a pair. Selections are made from scores, joined, and handed
/// to a mask as lists.
class BlockSelection {
 public:
  BlockSelection() = default;
  BlockSelection(std::int64_t heads, std::int64_t query_blocks, std::int64_t key_blocks);

  std::int64_t heads() const { return heads_; }
  std::int64_t query_blocks() const { return query_blocks_; }
  std::int64_t key_blocks() const { return key_blocks_; }
  bool keeps(std::int64_t head, std::int64_t m, std::int64_t n) const { return row(head, m)[n / 64] >> (n % 64) & 1; }
  void keep(std::int64_t head, std::int64_t m, std::int64_t n) { row(head, m)[n / 64] |= std::uint64_t{1} << (n % 64); }
  /// Blocks begin .. end-1 for every head: all of a text row or column, a sink.
  void keep_rows(std::int64_t begin, std::int64_t end);
  void keep_columns(std::int64_t begin, std::int64_t end);
  /// Joins another selection of the same blocks: of as many heads, or of one for all.
  BlockSelection& operator|=(const BlockSelection& other);
  /// The same pairs in blocks `factor` times smaller (128 -> 64), of which there are query_blocks x key_blocks.
  BlockSelection refined(std::int64_t factor, std::int64_t query_blocks, std::int64_t key_blocks) const;
  /// Blocks `factor` times larger, kept where any part was.
  BlockSelection coarsened(std::int64_t factor) const;

  std::int64_t count(std::int64_t head, std::int64_t m) const;
  /// Kept blocks over all blocks.
  double kept_ratio() const;
  /// Writes the lists into a description whose blocks of list_block_tokens are these: a list a head.
  /// @throws Error{InvalidArgument} if queries and keys of the description make another number of blocks
  void write_lists(MaskDescription& to) const;

  std::uint64_t* row(std::int64_t head, std::int64_t m) { return bits_.data() + (head * query_blocks_ + m) * words_; }
  const std::uint64_t* row(std::int64_t head, std::int64_t m) const { return bits_.data() + (head * query_blocks_ + m) * words_; }
  std::int64_t words_of_row() const { return words_; }

 private:
  std::int64_t heads_ = 0, query_blocks_ = 0, key_blocks_ = 0, words_ = 0;
  std::vector<std::uint64_t> bits_;
};

/// Top-p: whether the block with which the sum first exceeds p is kept. SpargeAttn leaves it out (then `least` = 1), SVG2 and
/// Rectified SpaAttn keep it.
enum class Crossing { Included, Excluded };

/// How many of a row's best blocks to keep: n = number of leading blocks whose scores sum to at most mass_ratio of the row's
/// total, one more if the crossing block is included, then at least `least` and at most `most`. Without mass_ratio n = least.
/// Equal scores go by lower block number. A score of -inf or NaN is never kept.
struct RowRule {
  std::int64_t least = 0, most = std::numeric_limits<std::int64_t>::max();
  double mass_ratio = -1;  ///< below 0: no rule by mass; scores must be >= 0 for it
  Crossing crossing = Crossing::Included;
  bool keep_ties = false;  ///< keep also what equals the last kept score (RainFusion 2)

  static RowRule top_k(std::int64_t count) { return {count, count, -1, Crossing::Included, false}; }
  static RowRule top_p(double mass_ratio, Crossing crossing, std::int64_t least = 0) {
    return {least, std::numeric_limits<std::int64_t>::max(), mass_ratio, crossing, false};
  }
};

/// Adds to `selection` each row's best blocks.
/// @param scores (H,M,N), any strides
/// @param extra  (H,M) a further score a row that competes and takes a place but is no block (Rectified SpaAttn's text); null
/// data: none
/// @param rules  one for all heads, or one a head (AdaSpa's levels)
/// @throws Error{InvalidArgument} naming what disagrees
void select_rows(const HostView<const float, 3>& scores, const HostView<const float, 2>& extra, const std::vector<RowRule>& rules,
                 BlockSelection& selection, const Workers& workers = {});

/// Adds the blocks of a head whose score is at least the largest of its `skipped` smallest (ties kept; skipped = 0 keeps all):
/// DraftAttention's one threshold a head (arXiv:2505.14708). A row may stay empty.
/// @param skipped one for all heads, or one a head; 0..M*N
void select_global(const HostView<const float, 3>& scores, const std::vector<std::int64_t>& skipped, BlockSelection& selection,
                   const Workers& workers = {});

/// Adds blocks whose score is at least `threshold`.
void select_threshold(const HostView<const float, 3>& scores, float threshold, BlockSelection& selection);

/// Of one head: block pairs (m,n) in which some token of n lies within `radius` of some token of m along every axis of the grid
/// (26 neighbours for 1), for tokens in `order`, blocks of block_tokens (Rectified SpaAttn, arXiv:2511.19835, from Jenga).
BlockSelection grid_neighbours(const TokenGrid& grid, const Permutation& order, std::int64_t block_tokens,
                               std::int64_t radius = 1);

/// Share of the scores that a selection keeps, a head (AdaSpa's recall, arXiv:2502.21079: divide by the sum of the scores, never
/// by the number of rows). 1 where the scores sum to 0.
std::vector<double> kept_mass_ratio(const HostView<const float, 3>& scores, const BlockSelection& selection,
                                    const Workers& workers = {});

}  // namespace ditscope
