#include "core/attention/token_groups.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <bit>

#include "core/bridge/views.h"
#include "kernels/pooling.h"

namespace ditscope {
namespace {

template <typename Element>
void pool(const at::Tensor& rows, const at::Tensor& offsets, const at::Tensor& mean) {
  PoolingArguments<Element> a;
  a.x = view<const Element, 3>(rows);
  a.block_offsets = view<const std::int64_t, 1>(offsets);
  a.mean = view<float, 3>(mean);
  pool_blocks(a, workers_for(rows.size(0), rows.size(1) / kBlockTokens));
}

/// A group within a block of 64 slots.
struct Run {
  std::int64_t group, first, last;  ///< slots of the block
  std::uint64_t bits() const {
    const std::uint64_t ones = last - first == kBlockTokens ? ~std::uint64_t{0} : (std::uint64_t{1} << (last - first)) - 1;
    return ones << first;
  }
};

std::vector<std::vector<Run>> runs_of(const at::Tensor& of) {
  const std::int64_t slots = of.numel();
  const std::int64_t* group = of.const_data_ptr<std::int64_t>();
  std::vector<std::vector<Run>> runs(static_cast<std::size_t>((slots + kBlockTokens - 1) / kBlockTokens));
  for (std::int64_t s = 0; s < slots; ++s) {
    auto& block = runs[static_cast<std::size_t>(s / kBlockTokens)];
    const std::int64_t place = s % kBlockTokens;
    if (block.empty() || block.back().group != group[s]) block.push_back({group[s], place, place});
    block.back().last = place + 1;
  }
  return runs;
}

}  // namespace

TokenGroups::TokenGroups(const TokenLayout& layout, const at::Tensor& tokens, std::int64_t group) {
  const std::int64_t text_begin = layout.text_first ? 0 : layout.visual_tokens(), text_end = text_begin + layout.text_tokens;
  const std::int64_t slots = tokens.defined() ? tokens.size(-1) : layout.tokens();
  const bool by_head = tokens.defined() && tokens.dim() == 2;  // text then lies elsewhere in every head
  const at::Tensor flat = tokens.defined() && !by_head ? tokens : at::arange(slots, at::kLong);
  const std::int64_t* token = flat.const_data_ptr<std::int64_t>();
  std::vector<std::int64_t> of(static_cast<std::size_t>(slots)), offsets;
  std::int64_t left = 0;
  for (std::int64_t s = 0; s < slots; ++s) {
    const bool text = !by_head && token[s] >= text_begin && token[s] < text_end;
    if (text || left == 0) {
      offsets.push_back(s);
      left = text ? 1 : group;
    }
    of[static_cast<std::size_t>(s)] = static_cast<std::int64_t>(offsets.size()) - 1;
    --left;
  }
  offsets.push_back(slots);
  for (std::size_t a = 0; a + 1 < offsets.size(); ++a) {
    const std::int64_t size = offsets[a + 1] - offsets[a];
    if (stretches_.empty() || stretches_.back().slots_each != size) stretches_.push_back({offsets[a], 0, size});
    ++stretches_.back().groups;
  }
  of_ = at::tensor(of, at::kLong);
  offsets_ = at::tensor(offsets, at::kLong);
  const at::Tensor sizes = offsets_.diff().to(at::kFloat).unsqueeze(0);  // (1,G)
  counts_ = sizes;
  if (!tokens.defined() || tokens.lt(layout.tokens()).all().item<bool>()) return;
  holds_token_ = (by_head ? tokens : tokens.unsqueeze(0)).lt(layout.tokens()).contiguous();
  counts_ = at::zeros({holds_token_.size(0), size()}, at::kFloat).index_add(1, of_, holds_token_.to(at::kFloat));
  fill_up_ = (sizes / counts_.clamp_min(1)).unsqueeze(2);
}

at::Tensor TokenGroups::in_blocks(std::int64_t block_tokens) const {
  const std::int64_t slots = of_.numel(), blocks = (slots + block_tokens - 1) / block_tokens;
  at::Tensor share = at::zeros({size(), blocks}, at::kFloat);
  const std::int64_t* group = of_.const_data_ptr<std::int64_t>();
  for (std::int64_t s = 0; s < slots; ++s) share.data_ptr<float>()[group[s] * blocks + s / block_tokens] += 1;
  return share / offsets_.diff().to(at::kFloat).unsqueeze(1);
}

at::Tensor TokenGroups::means(const at::Tensor& rows) const {
  const auto type = rows.scalar_type();
  at::Tensor mean;
  if (rows.is_cpu() && (type == at::kFloat || type == at::kBFloat16) && rows.size(2) <= 256) {
    mean = at::empty({rows.size(0), size(), rows.size(2)}, rows.options().dtype(at::kFloat));
    type == at::kFloat ? pool<float>(rows, offsets_, mean) : pool<Bfloat16Bits>(rows, offsets_, mean);
  } else {
    std::vector<at::Tensor> parts;
    for (const Stretch& s : stretches_)
      parts.push_back(rows.narrow(1, s.first_slot, s.groups * s.slots_each).to(at::kFloat).unflatten(1, {s.groups, s.slots_each}).mean(2));
    mean = at::cat(parts, 1);
  }
  return fill_up_.defined() ? mean.mul_(fill_up_.to(rows.device())) : mean;
}

std::int64_t TokenGroups::bytes() const {
  std::int64_t bytes = 0;
  for (const at::Tensor* t : {&offsets_, &of_, &counts_, &holds_token_, &fill_up_})
    if (t->defined()) bytes += static_cast<std::int64_t>(t->nbytes());
  return bytes;
}

at::Tensor kept_pairs(const Selection& selection, std::int64_t heads, const TokenGroups& queries, const TokenGroups& keys) {
  const bool holes_by_head = queries.holds_token_.defined() && queries.holds_token_.size(0) > 1;
  const std::int64_t planes = selection.by_head() || selection.mask().heads() > 0 || holes_by_head ? heads : 1;
  const auto query_runs = runs_of(queries.of()), key_runs = runs_of(keys.of());
  at::Tensor pairs = at::zeros({planes, queries.size(), keys.size()}, at::kFloat);
  for (std::int64_t h = 0; h < planes; ++h) {
    const BlockMask& mask = selection.mask(h);
    const bool* holds = queries.holds_token_.defined() ? queries.holds_token_.const_data_ptr<bool>() + (holes_by_head ? h : 0) * queries.of().numel()
                                                       : nullptr;
    float* const sums = pairs.data_ptr<float>() + h * queries.size() * keys.size();
    for (int m = 0; m < mask.query_blocks(); ++m) {
      const int list = mask.list_of_head(h);
      for (const BlockMask::Visit* visit = mask.visits_begin(list, m); visit != mask.visits_end(list, m); ++visit) {
        const std::uint64_t* bits = visit->bits == BlockMask::kWhole ? nullptr : mask.row_bits(visit->bits);
        for (const Run& rows : query_runs[static_cast<std::size_t>(m)]) {
          for (const Run& columns : key_runs[static_cast<std::size_t>(visit->key_block)]) {
            const std::uint64_t wanted = columns.bits();
            int kept = 0;
            for (std::int64_t r = rows.first; r < rows.last; ++r) {
              if (holds == nullptr || holds[std::int64_t{m} * kBlockTokens + r]) kept += std::popcount(bits ? bits[r] & wanted : wanted);
            }
            sums[rows.group * keys.size() + columns.group] += static_cast<float>(kept);
          }
        }
      }
    }
  }
  return pairs;
}

}  // namespace ditscope
