#include "core/attention/block_grid.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <numeric>
#include <tuple>

#include "kernels/keep_reason.h"

namespace ditscope {
namespace {

auto fields(const TokenLayout& l) {
  return std::make_tuple(l.text_tokens, l.text_first, l.frames, l.rows, l.columns, l.order);
}

}  // namespace

bool same_layout(const TokenLayout& a, const TokenLayout& b) {
  return fields(a) == fields(b);
}

BlockGrid::BlockGrid(const TokenLayout& layout, std::int64_t block_tokens, Text text, const std::vector<std::int32_t>& visual_order,
                     const std::vector<std::int64_t>& tile_ends)
    : block_tokens_(block_tokens), tokens_(layout.tokens()) {
  const std::int64_t visual = layout.visual_tokens(), begin = layout.visual_begin(), sites = layout.sites();
  std::vector<std::int64_t> slots;  // the token of each
  const auto fill_up = [&] {
    while (static_cast<std::int64_t>(slots.size()) % block_tokens != 0) slots.push_back(tokens_);
  };
  auto end = tile_ends.begin();
  for (std::int64_t p = 0; p < visual; ++p) {
    if (end != tile_ends.end() && *end == p) {
      fill_up();
      ++end;
    }
    const std::int64_t raster = visual_order.empty() ? p : visual_order[static_cast<std::size_t>(p)];
    const std::int64_t place = layout.order == TokenOrder::FrameMajor ? raster : raster % sites * layout.frames + raster / sites;
    slots.push_back(begin + place);
  }
  if (text == Text::Apart && layout.text_tokens > 0) fill_up();
  text_slot_ = static_cast<std::int64_t>(slots.size());
  for (std::int64_t t = 0; t < layout.text_tokens; ++t) slots.push_back(layout.text_first ? t : visual + t);
  slots_ = static_cast<std::int64_t>(slots.size());
  blocks_ = (slots_ + block_tokens - 1) / block_tokens;
  visual_blocks_ = layout.text_tokens > 0 ? text_slot_ / block_tokens : blocks_;

  std::vector<double> counts(static_cast<std::size_t>(blocks_), 0);
  std::vector<std::uint64_t> valid(static_cast<std::size_t>((slots_ + kBlockTokens - 1) / kBlockTokens), 0);
  bool identity = slots_ == tokens_;
  for (std::int64_t s = 0; s < slots_; ++s) {
    const std::int64_t token = slots[static_cast<std::size_t>(s)];
    identity = identity && token == s;
    if (token == tokens_) continue;
    ++counts[static_cast<std::size_t>(s / block_tokens)];
    valid[static_cast<std::size_t>(s / kBlockTokens)] |= std::uint64_t{1} << (s % kBlockTokens);
  }
  counts_ = at::tensor(counts, at::kDouble);
  if (slots_ != tokens_) valid_keys_ = std::move(valid);
  if (!identity) arrangement_ = Arrangement::make(tokens_, at::tensor(slots, at::kLong));
}

at::Tensor BlockGrid::sums(const at::Tensor& rows) const {
  const at::Tensor padded = at::constant_pad_nd(rows, {0, 0, 0, blocks_ * block_tokens_ - slots_});
  return padded.unflatten(1, {blocks_, block_tokens_}).sum(2);  // (H,N,C)
}

at::Tensor BlockGrid::means(const at::Tensor& rows) const {
  return sums(rows.to(at::kFloat)) / counts_.to(rows.device(), at::kFloat).clamp_min(1).unsqueeze(-1);
}

void BlockGrid::keep_text(at::Tensor& kept) const {
  const int keeps = kept.scalar_type() == at::kByte ? static_cast<int>(KeepReason::Text) : 1;
  kept.slice(1, visual_blocks_).fill_(keeps);
  kept.slice(2, visual_blocks_).fill_(keeps);
}

std::shared_ptr<const Selection> select(const std::shared_ptr<const BlockGrid>& grid, const at::Tensor& kept_anywhere) {
  const BlockGrid& g = *grid;
  const at::Tensor given = kept_anywhere.to(at::kCPU).contiguous();                              // (1 or H, N, N)
  const at::Tensor kept = given.scalar_type() == at::kByte ? given.ne(0).contiguous() : given;  // bool
  const std::int64_t planes = kept.size(0), parts = g.block_tokens_ / kBlockTokens;
  const std::int64_t fine = (g.slots_ + kBlockTokens - 1) / kBlockTokens;  // 64-token blocks
  MaskDescription d;
  d.queries = d.keys = g.slots_;
  d.lists = static_cast<int>(planes);
  if (planes > 1) {
    d.list_of_head.resize(static_cast<std::size_t>(planes));
    std::iota(d.list_of_head.begin(), d.list_of_head.end(), 0);
  }
  d.valid_keys = g.valid_keys_;
  d.block_offsets.push_back(0);
  const bool* keeps = kept.const_data_ptr<bool>();
  for (std::int64_t h = 0; h < planes; ++h) {
    for (std::int64_t m = 0; m < fine; ++m) {
      const bool* row = keeps + (h * g.blocks_ + m / parts) * g.blocks_;
      for (std::int64_t n = 0; n < fine; ++n) {
        if (row[n / parts]) d.key_blocks.push_back(static_cast<std::int32_t>(n));
      }
      d.block_offsets.push_back(static_cast<std::int64_t>(d.key_blocks.size()));
    }
  }
  const double visits = static_cast<double>(d.key_blocks.size()) / static_cast<double>(planes);
  const double own_blocks = static_cast<double>((g.tokens_ + kBlockTokens - 1) / kBlockTokens);
  const at::Tensor pairs = at::matmul(at::matmul(kept.to(at::kDouble), g.counts_), g.counts_) / planes;  // (planes)
  const double ratio = pairs.sum().item<double>() / (static_cast<double>(g.tokens_) * static_cast<double>(g.tokens_));
  auto selection = std::make_shared<Selection>(std::make_shared<const BlockMask>(d), g.arrangement_, ratio,
                                               visits / (own_blocks * own_blocks));
  selection->set_blocks(grid, kept);
  if (given.scalar_type() == at::kByte) selection->set_reasons(given);
  return selection;
}

}  // namespace ditscope
