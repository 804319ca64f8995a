#include "kernels/block_selection.h"

#include <algorithm>
#include <bit>

#include "kernels/expect.h"

namespace ditscope {
namespace {

std::string blocks_text(std::int64_t query_blocks, std::int64_t key_blocks) {
  return std::to_string(query_blocks) + " x " + std::to_string(key_blocks) + " blocks";
}

std::int64_t divided_up(std::int64_t a, std::int64_t b) {
  return (a + b - 1) / b;
}

}  // namespace

BlockSelection::BlockSelection(std::int64_t heads, std::int64_t query_blocks, std::int64_t key_blocks)
    : heads_(heads), query_blocks_(query_blocks), key_blocks_(key_blocks), words_(divided_up(key_blocks, 64)) {
  expect(heads >= 0 && query_blocks >= 0 && key_blocks >= 0, "expected 0 or more heads and blocks, got " + std::to_string(heads) +
                                                                 " heads of " + blocks_text(query_blocks, key_blocks) +
                                                                 "; check the shape");
  bits_.assign(static_cast<std::size_t>(heads * query_blocks * words_), 0);
}

void BlockSelection::keep_rows(std::int64_t begin, std::int64_t end) {
  expect(begin >= 0 && begin <= end && end <= query_blocks_, "expected query blocks within 0.." + std::to_string(query_blocks_) +
                                                                 ", got [" + std::to_string(begin) + ", " + std::to_string(end) +
                                                                 "); clip them");
  for (std::int64_t h = 0; h < heads_; ++h)
    for (std::int64_t m = begin; m < end; ++m)
      for (std::int64_t n = 0; n < key_blocks_; ++n) keep(h, m, n);
}

void BlockSelection::keep_columns(std::int64_t begin, std::int64_t end) {
  expect(begin >= 0 && begin <= end && end <= key_blocks_, "expected key blocks within 0.." + std::to_string(key_blocks_) +
                                                               ", got [" + std::to_string(begin) + ", " + std::to_string(end) +
                                                               "); clip them");
  for (std::int64_t h = 0; h < heads_; ++h)
    for (std::int64_t m = 0; m < query_blocks_; ++m)
      for (std::int64_t n = begin; n < end; ++n) keep(h, m, n);
}

BlockSelection& BlockSelection::operator|=(const BlockSelection& other) {
  expect(
      other.query_blocks_ == query_blocks_ && other.key_blocks_ == key_blocks_ && (other.heads_ == heads_ || other.heads_ == 1),
      "expected a selection of " + blocks_text(query_blocks_, key_blocks_) + " for 1 or " + std::to_string(heads_) +
          " heads, got " + blocks_text(other.query_blocks_, other.key_blocks_) + " for " + std::to_string(other.heads_) +
          "; make them for one call");
  const std::size_t size = other.bits_.size();
  for (std::size_t i = 0; i < bits_.size(); ++i) bits_[i] |= other.bits_[i % size];
  return *this;
}

BlockSelection BlockSelection::refined(std::int64_t factor, std::int64_t query_blocks, std::int64_t key_blocks) const {
  expect(factor >= 1 && divided_up(query_blocks, factor) == query_blocks_ && divided_up(key_blocks, factor) == key_blocks_,
         "expected blocks of which " + std::to_string(factor) + " make one of " + blocks_text(query_blocks_, key_blocks_) +
             ", got " + blocks_text(query_blocks, key_blocks) + "; count them for the same tokens");
  BlockSelection result(heads_, query_blocks, key_blocks);
  for (std::int64_t h = 0; h < heads_; ++h)
    for (std::int64_t m = 0; m < query_blocks; ++m)
      for (std::int64_t n = 0; n < key_blocks; ++n) {
        if (keeps(h, m / factor, n / factor)) result.keep(h, m, n);
      }
  return result;
}

BlockSelection BlockSelection::coarsened(std::int64_t factor) const {
  expect(factor >= 1, "expected a factor of 1 or more, got " + std::to_string(factor) + "; check the block sizes");
  BlockSelection result(heads_, divided_up(query_blocks_, factor), divided_up(key_blocks_, factor));
  for (std::int64_t h = 0; h < heads_; ++h)
    for (std::int64_t m = 0; m < query_blocks_; ++m)
      for (std::int64_t n = 0; n < key_blocks_; ++n) {
        if (keeps(h, m, n)) result.keep(h, m / factor, n / factor);
      }
  return result;
}

std::int64_t BlockSelection::count(std::int64_t head, std::int64_t m) const {
  std::int64_t count = 0;
  for (std::int64_t word = 0; word < words_; ++word) count += std::popcount(row(head, m)[word]);
  return count;
}

double BlockSelection::kept_ratio() const {
  std::int64_t kept = 0;
  for (const std::uint64_t word : bits_) kept += std::popcount(word);
  const double all = static_cast<double>(heads_) * static_cast<double>(query_blocks_) * static_cast<double>(key_blocks_);
  return all == 0 ? 0 : static_cast<double>(kept) / all;
}

void BlockSelection::write_lists(MaskDescription& to) const {
  const std::int64_t tokens = to.list_block_tokens;
  expect(tokens >= 1 && divided_up(to.queries, tokens) == query_blocks_ && divided_up(to.keys, tokens) == key_blocks_,
         "expected a mask of " + blocks_text(query_blocks_, key_blocks_) + " of " + std::to_string(tokens) + " tokens, got " +
             std::to_string(to.queries) + " queries and " + std::to_string(to.keys) +
             " keys; set list_block_tokens, or refine or coarsen the selection");
  to.lists = static_cast<int>(heads_);
  to.block_offsets.assign(1, 0);
  to.key_blocks.clear();
  for (std::int64_t i = 0; i < heads_ * query_blocks_; ++i) {
    for (std::int64_t word = 0; word < words_; ++word) {
      for (std::uint64_t rest = bits_[static_cast<std::size_t>(i * words_ + word)]; rest != 0; rest &= rest - 1)
        to.key_blocks.push_back(static_cast<std::int32_t>(word * 64 + std::countr_zero(rest)));
    }
    to.block_offsets.push_back(static_cast<std::int64_t>(to.key_blocks.size()));
  }
  to.list_of_head.resize(static_cast<std::size_t>(heads_));
  for (std::int64_t h = 0; h < heads_; ++h) to.list_of_head[static_cast<std::size_t>(h)] = static_cast<std::int32_t>(h);
}

BlockSelection grid_neighbours(const TokenGrid& grid, const Permutation& order, std::int64_t block_tokens, std::int64_t radius) {
  expect(static_cast<std::int64_t>(order.size()) == grid.tokens() && block_tokens >= 1 && radius >= 0,
         "expected an order of " + std::to_string(grid.tokens()) +
             " tokens, blocks of 1 or more and a radius of 0 or more, got " + std::to_string(order.size()) + ", " +
             std::to_string(block_tokens) + " and " + std::to_string(radius) + "; check them");
  const Permutation place = inverse(order);
  const std::int64_t blocks = divided_up(grid.tokens(), block_tokens);
  BlockSelection result(1, blocks, blocks);
  const auto block_at = [&](std::int64_t f, std::int64_t y, std::int64_t x) {
    return place[static_cast<std::size_t>((f * grid.rows + y) * grid.columns + x)] / block_tokens;
  };
  for (std::int64_t f = 0; f < grid.frames; ++f)
    for (std::int64_t y = 0; y < grid.rows; ++y)
      for (std::int64_t x = 0; x < grid.columns; ++x) {
        const std::int64_t own = block_at(f, y, x);
        for (std::int64_t g = std::max<std::int64_t>(f - radius, 0); g <= std::min(f + radius, grid.frames - 1); ++g)
          for (std::int64_t v = std::max<std::int64_t>(y - radius, 0); v <= std::min(y + radius, grid.rows - 1); ++v)
            for (std::int64_t u = std::max<std::int64_t>(x - radius, 0); u <= std::min(x + radius, grid.columns - 1); ++u)
              result.keep(0, own, block_at(g, v, u));
      }
  return result;
}

}  // namespace ditscope
