#pragma once
#include <cstdint>
#include <memory>
#include <vector>

namespace ditscope {

/// Queries and keys are walked in blocks of this many tokens.
inline constexpr int kBlockTokens = 64;

/// Tokens begin .. end-1.
struct TokenSpan {
  std::int32_t begin = 0, end = 0;
};

/// What a mask keeps, in the words of the methods. Query i of head h keeps key
/// j where any of these says so and `valid_keys` allows it:
/// - `spans`: row i has `spans_per_row` intervals, ascending and apart from
/// each other (a band, one window per frame, an interval
///   per line of a 3-D window, all keys for a dense row, an empty interval for
///   nothing);
/// - `always`: these keys, for every row (text columns, a sink);
/// - `always_rows`: every key, for these rows (text rows);
/// - block lists in CSR form. List l holds, for each of its M query blocks, key
/// blocks in ascending order:
///   `key_blocks[block_offsets[l*M+m] .. block_offsets[l*M+m+1])`. Head h uses
///   list `list_of_head[h]`, or list 0 for all heads if empty. Blocks are
///   `list_block_tokens` wide (64, 128 or another multiple of 64) or, with
///   bounds, of any size: query block m of list l is the queries
///   `query_bounds[l*(M+1)+m] .. query_bounds[l*(M+1)+m+1]`, and key blocks
///   likewise.
struct MaskDescription {
  std::int64_t queries = 0, keys = 0;
  int spans_per_row = 0;
  std::vector<TokenSpan> spans;  // (queries, spans_per_row)
  TokenSpan always, always_rows;
  int lists = 0;
  int list_block_tokens = kBlockTokens;
  std::vector<std::int32_t> query_bounds,
      key_bounds;                           // (lists, M+1) and (lists, N+1), or both empty
  std::vector<std::int64_t> block_offsets;  // (lists*M + 1)
  std::vector<std::int32_t> key_blocks;
  std::vector<std::int32_t> list_of_head;  // (H) or empty
  std::vector<std::uint64_t> valid_keys;   // bit j%64 of word j/64; empty: every key counts
};

/// A mask ready to be walked: for every query block the key blocks to visit,
/// each either whole or with one bit per pair. An immutable value; heads share
/// what they have in common.
class BlockMask {
 public:
  /// One key block that a query block visits.
  struct Visit {
    std::int32_t key_block;
    std::int32_t bits;  ///< kWhole: every row keeps every key; else 64 words at
                        ///< row_bits(bits), one a query row
  };
  static constexpr std::int32_t kWhole = -1;

  BlockMask() = default;
  /// @throws Error{InvalidArgument} naming the first inconsistency
  explicit BlockMask(const MaskDescription& description);
  /// Every query keeps every key.
  static BlockMask dense(std::int64_t queries, std::int64_t keys);
  /// Keeps exactly the pairs that this mask skips, of valid keys.
  BlockMask complement() const;

  std::int64_t queries() const { return queries_; }
  std::int64_t keys() const { return keys_; }
  int query_blocks() const { return query_blocks_; }
  int key_blocks() const { return key_blocks_; }
  int lists() const { return lists_; }
  bool is_dense() const {
    return kept_pairs_ == static_cast<double>(lists_) * static_cast<double>(queries_) * static_cast<double>(keys_);
  }
  /// Number of heads the mask is made for; 0: any.
  std::int64_t heads() const { return static_cast<std::int64_t>(list_of_head_.size()); }
  int list_of_head(std::int64_t head) const { return list_of_head_.empty() ? 0 : list_of_head_[static_cast<std::size_t>(head)]; }

  const Visit* visits_begin(int list, int query_block) const { return visits_.data() + offsets_[index(list, query_block)]; }
  const Visit* visits_end(int list, int query_block) const { return visits_.data() + offsets_[index(list, query_block) + 1]; }
  /// The query blocks of a list in the order of their visits, most first.
  const std::int32_t* heaviest_first(int list) const { return order_.data() + index(list, 0); }
  /// 64 words, one a row of the query block; bit j is key 64*key_block+j. Keys
  /// beyond the end are 0; rows beyond the end may hold anything.
  const std::uint64_t* row_bits(std::int32_t bits) const { return bits_.data() + static_cast<std::size_t>(bits) * kBlockTokens; }
  bool keeps(std::int64_t head, std::int64_t query, std::int64_t key) const;

  /// Kept pairs over all pairs, mean over heads.
  double kept_ratio() const;
  /// The same with every visited 64 x 64 block counted as a whole: what a
  /// kernel without partial blocks computes.
  double kept_ratio_blocks() const;
  /// Kept pairs of one list.
  std::int64_t kept_pairs(int list) const;
  std::int64_t bytes() const;

  /// The same for copies of a mask and of no other while one of them lives: what is derived from a mask can be kept beside it.
  const std::shared_ptr<const void>& identity() const { return identity_; }

 private:
  std::size_t index(int list, int query_block) const { return static_cast<std::size_t>(list) * query_blocks_ + query_block; }
  void set_sizes(std::int64_t queries, std::int64_t keys, int lists);
  /// The keys of a block that exist and are valid.
  std::uint64_t allowed(int key_block) const;
  int rows_of(int query_block) const;
  void append_rows(std::int32_t key_block, int query_block, const std::uint64_t* rows);
  void append_block(std::int32_t key_block, int query_block);
  void close_query_block() { offsets_.push_back(static_cast<std::int64_t>(visits_.size())); }
  void sort_by_visits();

  std::int64_t queries_ = 0, keys_ = 0;
  int query_blocks_ = 0, key_blocks_ = 0, lists_ = 0;
  std::vector<std::int64_t> offsets_{0};
  std::vector<Visit> visits_;
  std::vector<std::uint64_t> bits_;
  std::vector<std::int32_t> list_of_head_, order_;
  std::vector<std::uint64_t> valid_keys_;
  std::vector<std::int32_t> bits_of_block_;  ///< where the bits of a whole but not wholly valid key
                                             ///< block stand, or kWhole
  double kept_pairs_ = 0;                    ///< over all lists
  std::shared_ptr<const void> identity_ = std::make_shared<char>();
};

}  // namespace ditscope
