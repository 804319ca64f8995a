#pragma once
#include <ATen/core/Tensor.h>

#include <cstdint>
#include <vector>

#include "core/attention/layer_call.h"
#include "core/attention/selection.h"

namespace ditscope {

/// Slots cut into runs: `group` consecutive visual ones, every text one by itself.
class TokenGroups {
 public:
  TokenGroups() = default;
  /// @param tokens  (S) or (H,S) token of each slot, the number of tokens where empty; undefined: tokens as they come
  TokenGroups(const TokenLayout& layout, const at::Tensor& tokens, std::int64_t group);

  std::int64_t size() const { return offsets_.numel() - 1; }
  /// Group a is the slots offsets[a] .. offsets[a+1]-1.
  const at::Tensor& offsets() const { return offsets_; }  // (G+1) long, CPU
  const at::Tensor& of() const { return of_; }            // (S) long, CPU
  /// Slots of each group that hold a token; one plane where all heads share it.
  const at::Tensor& counts() const { return counts_; }  // (1 or H, G) float32, CPU
  /// Share of a group's tokens that lies in each block of slots.
  at::Tensor in_blocks(std::int64_t block_tokens) const;  // (G,N) float32, CPU
  /// Mean of the rows of each group. @param rows (H,S,C), zeros in empty slots
  at::Tensor means(const at::Tensor& rows) const;  // (H,G,C) float32
  std::int64_t bytes() const;

 private:
  friend at::Tensor kept_pairs(const Selection&, std::int64_t, const TokenGroups&, const TokenGroups&);
  /// Groups of one size side by side.
  struct Stretch {
    std::int64_t first_slot, groups, slots_each;
  };
  at::Tensor offsets_, of_, counts_;
  at::Tensor holds_token_;  // (1 or H, S) bool, CPU; undefined: every slot does
  at::Tensor fill_up_;      // (1 or H, G, 1) float32: slots over those that hold a token; undefined: 1
  std::vector<Stretch> stretches_;
};

/// How many pairs of tokens of each two groups a selection keeps.
at::Tensor kept_pairs(const Selection& selection, std::int64_t heads, const TokenGroups& queries, const TokenGroups& keys);  // (1 or H, G, G)

}  // namespace ditscope
