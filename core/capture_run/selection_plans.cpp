#include "core/capture_run/selection_plans.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <map>

#include "core/attention/block_grid.h"

namespace ditscope {
namespace {

/// Slot -> token of one head.
std::vector<std::uint32_t> order_of(const at::Tensor& slots, std::int64_t head) {
  const at::Tensor row = (slots.dim() == 2 ? slots[head] : slots).contiguous();  // (S) long
  std::vector<std::uint32_t> order;
  for (std::int64_t s = 0; s < row.numel(); ++s) order.push_back(static_cast<std::uint32_t>(row.const_data_ptr<std::int64_t>()[s]));
  return order;
}

/// @param reasons  (N,N) uint8 of blocks of `parts` x `parts` of the mask's, or (1,1) for all; undefined: not said
std::shared_ptr<CapturePlan> plan_of(const BlockMask& mask, int list, const at::Tensor& reasons, std::int64_t parts) {
  auto plan = std::make_shared<CapturePlan>();
  plan->queries = mask.queries();
  plan->keys = mask.keys();
  plan->q_blocks = mask.query_blocks();
  plan->k_blocks = mask.key_blocks();
  const std::size_t row_bytes = (static_cast<std::size_t>(plan->k_blocks) + 7) / 8;
  plan->block_bits.assign(static_cast<std::size_t>(plan->q_blocks) * row_bytes, 0);
  const at::Tensor why = reasons.defined() ? reasons.contiguous() : reasons;
  if (why.defined()) plan->reasons.assign(static_cast<std::size_t>(plan->q_blocks) * static_cast<std::size_t>(plan->k_blocks), 0);
  for (int m = 0; m < plan->q_blocks; ++m) {
    for (const BlockMask::Visit* visit = mask.visits_begin(list, m); visit != mask.visits_end(list, m); ++visit) {
      plan->block_bits[static_cast<std::size_t>(m) * row_bytes + static_cast<std::size_t>(visit->key_block) / 8] |=
          static_cast<std::uint8_t>(1 << (visit->key_block % 8));
      ++plan->kept_blocks;
      if (why.defined())
        plan->reasons[static_cast<std::size_t>(m) * static_cast<std::size_t>(plan->k_blocks) + static_cast<std::size_t>(visit->key_block)] =
            why.const_data_ptr<std::uint8_t>()[why.numel() == 1 ? 0 : m / parts * why.size(1) + visit->key_block / parts];
      if (visit->bits == BlockMask::kWhole) continue;
      plan->partial_blocks.push_back(static_cast<std::uint32_t>(m) * static_cast<std::uint32_t>(plan->k_blocks) +
                                     static_cast<std::uint32_t>(visit->key_block));
      const std::uint64_t* words = mask.row_bits(visit->bits);
      const std::int64_t rows = std::min<std::int64_t>(kBlockTokens, plan->queries - std::int64_t{m} * kBlockTokens);
      for (std::int64_t row = 0; row < kBlockTokens; ++row) plan->partial_bits.push_back(row < rows ? words[row] : 0);
    }
  }
  plan->kept_ratio = static_cast<double>(mask.kept_pairs(list)) / (static_cast<double>(plan->queries) * static_cast<double>(plan->keys));
  return plan;
}

}  // namespace

std::vector<std::shared_ptr<const CapturePlan>> selection_plans(const Selection& selection, std::int64_t heads, std::int64_t tokens) {
  const Arrangement* arrangement = selection.arrangement();
  const bool own_orders = arrangement && (arrangement->queries.dim() == 2 || arrangement->keys.dim() == 2);
  const std::int64_t count = own_orders || selection.by_head() || selection.mask().heads() > 0 ? heads : 1;
  std::vector<std::shared_ptr<const CapturePlan>> plans;
  std::map<int, std::shared_ptr<CapturePlan>> of_list;  // heads that share a list share a plan
  for (std::int64_t h = 0; h < count; ++h) {
    const BlockMask& mask = selection.mask(h);
    const int list = mask.list_of_head(selection.by_head() ? 0 : h);
    std::shared_ptr<CapturePlan> plan = own_orders || selection.by_head() ? nullptr : of_list[list];
    if (!plan) {
      const at::Tensor& all = selection.reasons();  // (1 or H, N, N)
      plan = plan_of(mask, list, all.defined() ? all[all.size(0) == 1 ? 0 : h] : all, selection.grid() ? selection.grid()->block_tokens() / kBlockTokens : 1);
      plan->tokens = tokens;
      if (arrangement) {
        plan->q_order = order_of(arrangement->queries, h);
        plan->k_order = order_of(arrangement->keys, h);
        if (!selection.by_head()) plan->kept_ratio = selection.kept_ratio();
      }
      of_list[list] = plan;
    }
    plans.push_back(plan);
  }
  return plans;
}

CaptureTensor stored_frames(const char* kind, int step, const Frames& frames) {
  CaptureTensor tensor;
  tensor.kind = kind;
  tensor.step = step;
  tensor.dtype = "|u1";
  tensor.filter = "up";
  tensor.shape = {frames.count, 3, frames.height, frames.width};
  const auto plane = static_cast<std::size_t>(frames.height) * static_cast<std::size_t>(frames.width);
  tensor.bytes.resize(frames.rgb.size());
  for (int f = 0; f < frames.count; ++f) {
    const float* rgb = frames.frame(f);
    std::uint8_t* planes = tensor.bytes.data() + static_cast<std::size_t>(f) * 3 * plane;
    for (std::size_t i = 0; i < plane; ++i)
      for (std::size_t c = 0; c < 3; ++c)
        planes[c * plane + i] = static_cast<std::uint8_t>(std::clamp(rgb[3 * i + c], 0.0F, 1.0F) * 255.0F + 0.5F);
  }
  return tensor;
}

}  // namespace ditscope
