#include "views/inspect/mask_data.h"

#include <algorithm>
#include <cmath>

namespace ditscope::views {
namespace {

constexpr const char* kNames[kReasons] = {"reason not recorded", "top-k", "cumulative", "neighbour", "window", "text", "sink", "other rule"};
constexpr const char* kTokens[kReasons] = {"text2", "mask_top_k", "mask_cumulative", "mask_neighbour", "mask_window", "mask_text", "mask_sink", "text2"};

/// How many tokens of each cell a block of slots holds.
using Share = std::vector<std::pair<int, int>>;
std::vector<Share> block_shares(const std::vector<std::uint32_t>& order, int blocks, std::int64_t block_tokens, std::int64_t slots, std::int64_t tokens,
                                const std::vector<std::int64_t>& edges) {
  std::vector<Share> shares(static_cast<std::size_t>(blocks));
  for (std::int64_t slot = 0; slot < slots; ++slot) {
    const std::int64_t token = order.empty() ? slot : order[static_cast<std::size_t>(slot)];
    if (token >= tokens) continue;
    const int cell = static_cast<int>(std::upper_bound(edges.begin(), edges.end(), token) - edges.begin()) - 1;
    Share& share = shares[static_cast<std::size_t>(slot / block_tokens)];
    const auto it = std::find_if(share.begin(), share.end(), [&](const auto& entry) { return entry.first == cell; });
    if (it == share.end()) share.emplace_back(cell, 1);
    else ++it->second;
  }
  return shares;
}

}  // namespace

const char* reason_name(KeepReason reason) { return kNames[static_cast<std::size_t>(reason) % kReasons]; }
const char* reason_token(KeepReason reason) { return kTokens[static_cast<std::size_t>(reason) % kReasons]; }

std::int64_t slot_of(const std::vector<std::uint32_t>& order, std::int64_t call_token) {
  if (order.empty()) return call_token;
  const auto it = std::find(order.begin(), order.end(), static_cast<std::uint32_t>(call_token));
  return it == order.end() ? -1 : it - order.begin();
}

PairState pair_state(const CapturePlan& plan, const TokenGeometry& geometry, std::int64_t query, std::int64_t key) {
  if (plan.dense()) return {};
  PairState state;
  const std::int64_t q = slot_of(plan.q_order, geometry.to_call(query));
  state.kept = false;
  if (q < 0) return state;
  const auto call_key = static_cast<std::uint32_t>(geometry.to_call(key));
  const auto check = [&](std::int64_t k) {
    if (!plan.keeps_slots(q, k)) return false;
    state.kept = true;
    if (!plan.reasons.empty()) {
      const bool text = geometry.is_text(query) || geometry.is_text(key);
      state.reason = text ? KeepReason::Text : plan.reason(static_cast<int>(q / plan.q_block_tokens), static_cast<int>(k / plan.k_block_tokens));
    }
    return true;
  };
  if (plan.k_order.empty()) {
    check(call_key);
    return state;
  }
  for (auto it = plan.k_order.begin(); (it = std::find(it, plan.k_order.end(), call_key)) != plan.k_order.end(); ++it) {  // a key may lie twice
    if (check(it - plan.k_order.begin())) break;
  }
  return state;
}

MaskCells mask_cells(const CapturePlan& plan, const TokenGeometry& geometry, std::vector<std::int64_t> edges) {
  MaskCells result;
  result.edges = std::move(edges);
  const auto cells = static_cast<std::size_t>(result.cells());
  result.kept = plan.kept_ratios(result.edges);
  result.reasons.assign(cells * cells, 0);
  if (plan.dense() || plan.reasons.empty()) return result;
  const auto q_shares = block_shares(plan.q_order, plan.q_blocks, plan.q_block_tokens, plan.queries, plan.tokens, result.edges);
  const auto k_shares = block_shares(plan.k_order, plan.k_blocks, plan.k_block_tokens, plan.keys, plan.tokens, result.edges);
  std::vector<float> weights(cells * cells * kReasons, 0.0F), row(cells * kReasons);
  std::vector<std::size_t> touched;
  for (int m = 0; m < plan.q_blocks; ++m) {
    std::fill(row.begin(), row.end(), 0.0F);
    for (int n = 0; n < plan.k_blocks; ++n) {
      if (!plan.keeps_block(m, n)) continue;
      for (const auto& [cell, count] : k_shares[static_cast<std::size_t>(n)]) {
        row[static_cast<std::size_t>(cell) * kReasons + static_cast<std::size_t>(plan.reason(m, n))] += static_cast<float>(count);
      }
    }
    for (const auto& [cell, count] : q_shares[static_cast<std::size_t>(m)]) {
      float* to = weights.data() + static_cast<std::size_t>(cell) * cells * kReasons;
      for (std::size_t i = 0; i < row.size(); ++i) to[i] += row[i] * static_cast<float>(count);
    }
  }
  const auto is_text = [&](std::size_t cell) { return geometry.is_text(geometry.from_call(result.edges[cell])); };
  for (std::size_t i = 0; i < cells; ++i) {
    for (std::size_t j = 0; j < cells; ++j) {
      std::uint8_t& reason = result.reasons[i * cells + j];
      if (result.kept[i * cells + j] <= 0) continue;
      if (is_text(i) || is_text(j)) {
        reason = static_cast<std::uint8_t>(KeepReason::Text);
        continue;
      }
      const float* of = weights.data() + (i * cells + j) * kReasons;
      // A block that is text for one of its tokens says so for all; here no token is text.
      std::size_t best = 0;
      for (std::size_t r = 1; r < kReasons; ++r) {
        if (of[r] > 0 && (best == 0 || of[r] > of[best])) best = r;
      }
      reason = static_cast<std::uint8_t>(best);
    }
  }
  return result;
}

MaskCells kernel_cells(const CapturePlan& plan) {
  MaskCells result;
  const auto rows = static_cast<std::size_t>(plan.q_blocks), columns = static_cast<std::size_t>(plan.k_blocks), cells = std::max(rows, columns);
  for (std::size_t cell = 0; cell < cells; ++cell) result.edges.push_back(static_cast<std::int64_t>(cell) * 64);
  result.edges.push_back(std::max(plan.queries, plan.keys));
  result.kept.assign(cells * cells, 0.0F);
  result.reasons.assign(cells * cells, 0);
  std::size_t partial = 0;
  for (std::size_t m = 0; m < rows; ++m) {
    for (std::size_t n = 0; n < columns; ++n) {
      if (!plan.keeps_block(static_cast<int>(m), static_cast<int>(n))) continue;
      const auto number = static_cast<std::uint32_t>(m * columns + n);
      while (partial < plan.partial_blocks.size() && plan.partial_blocks[partial] < number) ++partial;
      float share = 1;
      if (partial < plan.partial_blocks.size() && plan.partial_blocks[partial] == number) {
        std::int64_t bits = 0;
        for (int row = 0; row < plan.q_block_tokens; ++row) bits += __builtin_popcountll(plan.partial_bits[partial * static_cast<std::size_t>(plan.q_block_tokens) + static_cast<std::size_t>(row)]);
        const auto height = std::min<std::int64_t>(64, plan.queries - static_cast<std::int64_t>(m) * 64), width = std::min<std::int64_t>(64, plan.keys - static_cast<std::int64_t>(n) * 64);
        share = static_cast<float>(bits) / static_cast<float>(height * width);
      }
      result.kept[m * cells + n] = share;
      result.reasons[m * cells + n] = static_cast<std::uint8_t>(plan.reason(static_cast<int>(m), static_cast<int>(n)));
    }
  }
  return result;
}

std::array<double, kReasons> reason_shares(const MaskCells& mask) {
  std::array<double, kReasons> shares{};
  const auto cells = static_cast<std::size_t>(mask.cells());
  const double all = static_cast<double>(mask.edges.back()) * static_cast<double>(mask.edges.back());
  for (std::size_t i = 0; i < cells; ++i) {
    const double height = static_cast<double>(mask.edges[i + 1] - mask.edges[i]);
    for (std::size_t j = 0; j < cells; ++j) {
      const double pairs = height * static_cast<double>(mask.edges[j + 1] - mask.edges[j]) / all;
      shares[mask.reasons[i * cells + j]] += pairs * mask.kept[i * cells + j];
    }
  }
  return shares;
}

Damage damage_of(const MaskCells& mask, const MapLevel& map, double heavy, double empty) {
  Damage damage;
  if (mask.edges != map.edges) return damage;
  const auto cells = static_cast<std::size_t>(mask.cells());
  damage.state.assign(cells * cells, 0);
  const double tokens = static_cast<double>(mask.edges.back());
  for (std::size_t i = 0; i < cells; ++i) {
    const double rows = static_cast<double>(mask.edges[i + 1] - mask.edges[i]) / tokens;
    for (std::size_t j = 0; j < cells; ++j) {
      const double density = map.density[i * cells + j], times = density * tokens, kept = mask.kept[i * cells + j];
      if (!std::isfinite(density)) continue;
      if (kept < 0.5 && times > heavy) {
        damage.state[i * cells + j] = 1;
        ++damage.heavy;
        damage.heavy_mass += rows * density * static_cast<double>(mask.edges[j + 1] - mask.edges[j]) * (1 - kept);
      } else if (kept >= 0.5 && times < empty) {
        damage.state[i * cells + j] = 2;
        ++damage.empty;
      }
    }
  }
  return damage;
}

}  // namespace ditscope::views
