// Rectified SpaAttn: blocks along a Hilbert curve, chosen by attention between block means; rows scaled to the share that their
// blocks hold there, skipped blocks giving their mean value.
//
// arXiv:2511.19835, visual tokens along a generalised 3-D Hilbert curve, then text; blocks of B = 128:
//   q̄_i, k̄_j, v̄_j = means of visual blocks; text is never pooled (isolated pooling, core/attention/pooled.h): P_ij, P_i,text
//   n_i = max(top_k, 1 + #{m : cumsum of the sorted row of P <= top_p}),   top_k = int(kept N)
//   S_i = the first n_i columns (text competes as one) + blocks that touch block i + text + first blocks among each other
//   gain-aware rectification:  dq_i = mean |q - q̄_i|, dk_j likewise;  gain_ij = |q̄_i k̄_j| > |dq_i k̄_j| + |q̄_i dk_j|
//   S'_i = S_i + {j : not gain_ij},  R_i = P_i,text + Σ_{S'_i} P_ij,  c_i = Σ_{not S'_i} P_ij v̄_j
//   O    = R_i softmax over S_i V + c_i;   text queries attend to everything and are not rectified
//
// Differs from the paper:
// - `gain`: fold is the code as above; drop leaves the mass of blocks without gain out of R, as the paper's figure shows; off lets
//   every skipped block give its mean value.
// - Means of a block that is not full are over the tokens it has, and it weighs as many; `block_means=padded` fills it up with zeros
//   and counts it as full, as the code does for Wan.
// - top_k = int(kept N); `top_k_rounding=code` computes int((1 - drop) N), one less where 1 - drop rounds down (0.8 of 900: 179).
// - `isolated_pooling=off` pools text like the rest, blocks of text apart from visual ones: the paper's ablation.
// - Sums are float32. The permutation is done in each layer, not once a forward pass: the same numbers.
// - As a correction of other plans: where a plan keeps part of a block, that share of the block counts as kept.
#include <ATen/ATen.h>

#include <algorithm>
#include <bit>

#include "core/attention/block_grid.h"
#include "core/attention/methods.h"
#include "core/attention/pooled.h"
#include "kernels/keep_reason.h"
#include "kernels/permutation.h"

namespace ditscope {
namespace {

/// Text keys of a batch element and which of them count.
std::pair<at::Tensor, at::Tensor> text_of(const LayerCall& call, std::int64_t batch) {
  const std::int64_t first = call.layout.text_first ? 0 : call.layout.visual_tokens(), count = call.layout.text_tokens;
  at::Tensor mask;
  if (call.key_mask.defined()) mask = call.key_mask[batch].narrow(0, first, count);
  return {call.k[batch].narrow(1, first, count), mask};
}

struct Layout {
  std::shared_ptr<const BlockGrid> grid;
  at::Tensor always;  // (1,N,N) KeepReason: neighbours, first blocks, text
};

/// Nb_ij: a token of block j lies in the 3 x 3 x 3 around a token of block i.
void keep_neighbours(const TokenLayout& layout, const Permutation& order, std::int64_t block_tokens, at::Tensor& kept) {
  std::vector<std::int64_t> block_of(order.size());
  for (std::size_t place = 0; place < order.size(); ++place)
    block_of[static_cast<std::size_t>(order[place])] = static_cast<std::int64_t>(place) / block_tokens;
  auto keeps = kept.accessor<std::uint8_t, 3>();
  const auto at = [&](std::int64_t f, std::int64_t y, std::int64_t x) {
    return block_of[static_cast<std::size_t>((f * layout.rows + y) * layout.columns + x)];
  };
  for (std::int64_t f = 0; f < layout.frames; ++f) {
    for (std::int64_t y = 0; y < layout.rows; ++y) {
      for (std::int64_t x = 0; x < layout.columns; ++x) {
        for (int d = 0; d < 27; ++d) {
          const std::int64_t nf = f + d / 9 - 1, ny = y + d / 3 % 3 - 1, nx = x + d % 3 - 1;
          if (nf < 0 || ny < 0 || nx < 0 || nf >= layout.frames || ny >= layout.rows || nx >= layout.columns) continue;
          keeps[0][at(f, y, x)][at(nf, ny, nx)] = static_cast<std::uint8_t>(KeepReason::Neighbour);
        }
      }
    }
  }
}

/// Means of the blocks of a grid and how many tokens each counts as. @param padded  empty slots are tokens of zeros
at::Tensor block_means_of(const BlockGrid& grid, const at::Tensor& rows, bool padded) {
  return padded ? grid.sums(rows.to(at::kFloat)) / static_cast<double>(grid.block_tokens()) : grid.means(rows);
}
at::Tensor block_counts(const BlockGrid& grid, bool padded) {
  return padded ? at::full_like(grid.counts(), static_cast<double>(grid.block_tokens())) : grid.counts();
}

struct RectifiedParameters {
  double kept_ratio = 0.2, top_p = 0.3;
  std::int64_t block_tokens = 128, first_blocks = 0;
  bool isolated = true, padded = false, exact_count = true;
};

class RectifiedSpaAttn final : public Planner {
 public:
  explicit RectifiedSpaAttn(const RectifiedParameters& parameters) : p_(parameters) {}

  std::unique_ptr<Planner> clone() const override { return std::make_unique<RectifiedSpaAttn>(*this); }
  std::optional<double> requested_kept_ratio() const override { return p_.kept_ratio; }

  Planned plan(const LayerCall& call, std::int64_t batch) override {
    const Layout& layout = *layouts_.of(call.layout, [&] { return std::make_shared<const Layout>(lay_out(call.layout)); });
    const BlockGrid& grid = *layout.grid;
    const std::int64_t visual = grid.visual_blocks(), heads = call.q.size(1);
    const LayerCall one = element_in_slots(call, batch, grid.arrangement().get());
    const auto [text_keys, text_mask] = text_of(call, batch);
    const PooledAttention pooled =
        pooled_attention(block_means_of(grid, one.q[0], p_.padded).narrow(1, 0, visual),
                         block_means_of(grid, one.k[0], p_.padded).narrow(1, 0, visual),
                         block_counts(grid, p_.padded).narrow(0, 0, visual), text_keys, text_mask, call.scale, p_.isolated ? 1 : p_.block_tokens);
    const bool text = call.layout.text_tokens > 0;
    at::Tensor columns = text ? at::cat({pooled.visual, pooled.text.unsqueeze(2)}, 2) : pooled.visual;  // (H,V,V+1)
    columns = columns.to(at::kCPU);
    const auto [sorted, order] = at::sort(columns, /*stable=*/true, 2, /*descending=*/true);
    const double kept_share = p_.exact_count ? p_.kept_ratio : 1 - (1 - p_.kept_ratio);  // the code's 1 - drop
    const auto top_k = static_cast<std::int64_t>(kept_share * static_cast<double>(visual));
    const at::Tensor count = (sorted.cumsum(2).le(p_.top_p).sum(2, true) + 1).clamp_min(top_k);         // (H,V,1)
    const at::Tensor rank = at::arange(columns.size(2), at::kLong).view({1, 1, -1});
    const at::Tensor reason = at::where(rank.lt(top_k), static_cast<int>(KeepReason::TopK), static_cast<int>(KeepReason::Cumulative));
    const at::Tensor chosen = (reason * rank.lt(count)).to(at::kByte);                                   // (H,V,V+1)
    const at::Tensor best = at::zeros(columns.sizes(), at::kByte).scatter_(2, order, chosen).narrow(2, 0, visual);  // (H,V,V)
    at::Tensor kept = layout.always.repeat({heads, 1, 1});                                               // (H,N,N)
    const at::Tensor among = kept.slice(1, 0, visual).slice(2, 0, visual);
    among.copy_(at::where(best.ne(0), best, among));
    return {select(layout.grid, kept)};
  }

  std::int64_t bytes_held() const override {
    const auto& layout = layouts_.latest();
    if (!layout) return 0;
    const auto& arrangement = layout->grid->arrangement();
    return static_cast<std::int64_t>(layout->always.nbytes()) + (arrangement ? arrangement->bytes() : 0);
  }

 private:
  Layout lay_out(const TokenLayout& layout) const {
    const Permutation order = hilbert_order({layout.frames, layout.rows, layout.columns});
    Layout made{std::make_shared<const BlockGrid>(layout, p_.block_tokens, BlockGrid::Text::Apart, order), {}};
    const std::int64_t blocks = made.grid->blocks(), first = std::min(p_.first_blocks, made.grid->visual_blocks());
    made.always = at::zeros({1, blocks, blocks}, at::kByte);
    keep_neighbours(layout, order, p_.block_tokens, made.always);
    made.always.slice(1, 0, first).slice(2, 0, first).fill_(static_cast<int>(KeepReason::Sink));
    made.grid->keep_text(made.always);
    return made;
  }

  RectifiedParameters p_;
  PerLayout<Layout> layouts_;
};

enum class Gain { Fold, Drop, Off };

class Rectification final : public Correction {
 public:
  Rectification(Gain gain, bool isolated, bool padded) : gain_(gain), isolated_(isolated), padded_(padded) {}
  std::unique_ptr<Correction> clone() const override { return std::make_unique<Rectification>(*this); }

  RowCorrection apply(const LayerCall& call, std::int64_t batch, const LayerCall& one, const Selection& selection) override {
    // A plan of no blocks is pooled in the order of its query slots, 64 tokens a block.
    std::shared_ptr<const BlockGrid> grid = selection.grid();
    const Arrangement* arrangement = selection.arrangement();
    if (!grid) grid = fallback_.of(call.layout, [&] {
      return std::make_shared<const BlockGrid>(call.layout, kBlockTokens, BlockGrid::Text::Apart, fallback_order(call.layout));
    });
    const bool own = selection.grid() == nullptr;
    const LayerCall pooled_call = own ? element_in_slots(call, batch, grid->arrangement().get()) : one;
    // A block that joins text and visual tokens is pooled with neither: its tokens count as text.
    const std::int64_t visual = grid->visual_blocks(), first_text = visual * grid->block_tokens();
    const auto means = [&](const at::Tensor& rows) { return block_means_of(*grid, rows, padded_).narrow(1, 0, visual); };
    const at::Tensor q = means(pooled_call.q[0]), k = means(pooled_call.k[0]), v = means(pooled_call.v[0]);  // (H,V,D)
    const std::int64_t rest = pooled_call.k.size(2) - first_text;
    at::Tensor text_mask;
    if (pooled_call.key_mask.defined()) text_mask = pooled_call.key_mask[0].slice(0, std::min(first_text, pooled_call.k.size(2)));
    const at::Tensor text_keys = rest > 0 ? pooled_call.k[0].narrow(1, first_text, rest) : pooled_call.k[0].narrow(1, 0, 0);
    const PooledAttention p =
        pooled_attention(q, k, block_counts(*grid, padded_).narrow(0, 0, visual), text_keys, rest > 0 ? text_mask : at::Tensor(), call.scale,
                         isolated_ ? 1 : grid->block_tokens());

    const at::Tensor share = (own ? shares(call, selection, *grid) : selection.kept_blocks().to(at::kFloat))
                                 .slice(1, 0, visual)
                                 .slice(2, 0, visual)
                                 .to(q.device());                                               // (1 or H, V, V)
    const at::Tensor gain = gain_ == Gain::Off ? at::ones_like(p.visual) : gains(pooled_call, *grid, q, k);  // (H,V,V)
    const at::Tensor skipped = p.visual * (1 - share);                                                        // (H,V,V)
    at::Tensor row = p.text + (p.visual * share).sum(2);                                                      // (H,V) R
    if (gain_ == Gain::Fold) row = row + (skipped * (1 - gain)).sum(2);
    const at::Tensor added = at::matmul(skipped * gain, v);  // (H,V,D) c
    RowCorrection rows;
    rows.scale = spread(row.unsqueeze(2), pooled_call.q.size(2), *grid, 1.0).squeeze(2);
    rows.residual = spread(added, pooled_call.q.size(2), *grid, 0.0);
    rows.mass = rows.scale + spread((skipped * gain).sum(2, true), pooled_call.q.size(2), *grid, 0.0).squeeze(2);
    if (own) {  // from the slots of the pooled order over tokens into those of the selection
      for (at::Tensor* tensor : {&rows.scale, &rows.mass, &rows.residual}) {
        if (grid->arrangement()) *tensor = by_token(*tensor, *grid->arrangement());
        if (!arrangement) continue;
        const at::Tensor wide = tensor->dim() == 2 ? tensor->unsqueeze(2) : *tensor;  // (H,T,C)
        const at::Tensor moved = in_slots(wide.unsqueeze(0), arrangement->queries)[0];
        *tensor = tensor->dim() == 2 ? moved.squeeze(2) : moved;
      }
    }
    rows.scale = rows.scale.contiguous();
    rows.residual = rows.residual.to(call.q.scalar_type()).contiguous();
    return rows;
  }

 private:
  static std::vector<std::int32_t> fallback_order(const TokenLayout& layout) {
    return layout.order == TokenOrder::FrameMajor ? Permutation{} : position_major_order({layout.frames, layout.rows, layout.columns});
  }

  /// One value a block -> one a slot; text slots get `elsewhere`.
  static at::Tensor spread(const at::Tensor& blocks, std::int64_t slots, const BlockGrid& grid, double elsewhere) {
    const at::Tensor rows = blocks.repeat_interleave(grid.block_tokens(), 1);  // (H,V*B,C)
    if (rows.size(1) >= slots) return rows.narrow(1, 0, slots);
    return at::constant_pad_nd(rows, {0, 0, 0, slots - rows.size(1)}, elsewhere);
  }

  /// gain_ij as 0 or 1.
  at::Tensor gains(const LayerCall& one, const BlockGrid& grid, const at::Tensor& q_means, const at::Tensor& k_means) const {
    const std::int64_t visual = grid.visual_blocks(), slots = one.q.size(2);
    at::Tensor filled = at::zeros({1, slots, 1}, at::kFloat);  // 1 in slots that hold a token
    if (grid.arrangement() && !padded_)
      filled.copy_(grid.arrangement()->queries.lt(grid.arrangement()->tokens).view({1, slots, 1}));
    else
      filled.fill_(1);
    filled = filled.to(one.q.device());
    const auto spread_of = [&](const at::Tensor& rows, const at::Tensor& means) {  // (H,V,D) mean of |x - mean|
      return block_means_of(grid, (rows.to(at::kFloat) - spread(means, slots, grid, 0.0)).abs() * filled, padded_).narrow(1, 0, visual);
    };
    const at::Tensor dq = spread_of(one.q[0], q_means), dk = spread_of(one.k[0], k_means), kt = k_means.transpose(1, 2);
    const at::Tensor loss = at::matmul(dq, kt).abs() + at::matmul(q_means, dk.transpose(1, 2)).abs();
    return at::matmul(q_means, kt).abs().gt(loss).to(at::kFloat);
  }

  /// Adds the pairs that a mask keeps to counts (N,N), by the blocks that its query and key slots belong to.
  static void count_pairs(const BlockMask& mask, std::int64_t head, const std::vector<std::int64_t>& query_blocks,
                          const std::vector<std::int64_t>& key_blocks, const at::Tensor& counts) {
    // Of each 64 key slots, those of each block as bits.
    std::vector<std::vector<std::pair<std::uint64_t, std::int64_t>>> parts((key_blocks.size() + kBlockTokens - 1) / kBlockTokens);
    for (std::size_t s = 0; s < key_blocks.size(); ++s) {
      if (key_blocks[s] < 0) continue;
      auto& of = parts[s / kBlockTokens];
      const auto found = std::find_if(of.begin(), of.end(), [&](const auto& part) { return part.second == key_blocks[s]; });
      const std::uint64_t bit = std::uint64_t{1} << (s % kBlockTokens);
      if (found == of.end())
        of.emplace_back(bit, key_blocks[s]);
      else
        found->first |= bit;
    }
    double* count = counts.data_ptr<double>();
    const int list = mask.list_of_head(head);
    for (int m = 0; m < mask.query_blocks(); ++m) {
      for (const BlockMask::Visit* visit = mask.visits_begin(list, m); visit != mask.visits_end(list, m); ++visit) {
        for (std::size_t r = 0, slot = static_cast<std::size_t>(m) * kBlockTokens; r < kBlockTokens && slot < query_blocks.size(); ++r, ++slot) {
          if (query_blocks[slot] < 0) continue;
          const std::uint64_t bits = visit->bits == BlockMask::kWhole ? ~std::uint64_t{0} : mask.row_bits(visit->bits)[r];
          for (const auto& [part, block] : parts[static_cast<std::size_t>(visit->key_block)])
            count[query_blocks[slot] * counts.size(1) + block] += std::popcount(bits & part);
        }
      }
    }
  }

  /// Share of the pairs of each two blocks of `grid` that a selection without blocks keeps; remembered for the latest one.
  at::Tensor shares(const LayerCall& call, const Selection& selection, const BlockGrid& grid) {
    if (shares_of_ == selection.shared_mask() && arrangement_of_ == selection.shared_arrangement()) return shares_;
    const Arrangement* slots = selection.arrangement();
    const std::int64_t tokens = call.q.size(2), blocks = grid.blocks();
    const bool one = !selection.by_head() && selection.mask().heads() == 0 && (!slots || (slots->queries.dim() == 1 && slots->keys.dim() == 1));
    const std::int64_t planes = one ? 1 : call.q.size(1);
    std::vector<std::int64_t> block_of(static_cast<std::size_t>(tokens));  // of each token
    for (std::int64_t s = 0, last = grid.arrangement() ? grid.arrangement()->queries.size(0) : tokens; s < last; ++s) {
      const std::int64_t token = grid.arrangement() ? grid.arrangement()->queries[s].item<std::int64_t>() : s;
      if (token < tokens) block_of[static_cast<std::size_t>(token)] = s / grid.block_tokens();
    }
    const auto blocks_of_slots = [&](const at::Tensor* order, std::int64_t plane) {  // -1 where a slot is empty
      if (!order) return block_of;
      const at::Tensor of_plane = (order->dim() == 2 ? (*order)[plane] : *order).contiguous();
      std::vector<std::int64_t> list;
      for (std::int64_t s = 0; s < of_plane.size(0); ++s) {
        const std::int64_t token = of_plane.const_data_ptr<std::int64_t>()[s];
        list.push_back(token < tokens ? block_of[static_cast<std::size_t>(token)] : -1);
      }
      return list;
    };
    at::Tensor counts = at::zeros({planes, blocks, blocks}, at::kDouble);  // kept pairs
    for (std::int64_t h = 0; h < planes; ++h) {
      count_pairs(selection.mask(h), h, blocks_of_slots(slots ? &slots->queries : nullptr, h), blocks_of_slots(slots ? &slots->keys : nullptr, h),
                  counts[h]);
    }
    const at::Tensor held = grid.counts().clamp_min(1);
    shares_ = (counts / (held.unsqueeze(1) * held)).to(at::kFloat);  // (1 or H, N, N)
    shares_of_ = selection.shared_mask();
    arrangement_of_ = selection.shared_arrangement();
    return shares_;
  }

  Gain gain_;
  bool isolated_, padded_;
  PerLayout<BlockGrid> fallback_;
  std::shared_ptr<const BlockMask> shares_of_;  ///< the mask and the arrangement that `shares_` was taken of
  std::shared_ptr<const Arrangement> arrangement_of_;
  at::Tensor shares_;
};

}  // namespace

std::unique_ptr<Planner> make_rectified_spaattn(const ParameterValues& parameters, int) {
  RectifiedParameters p;
  p.kept_ratio = std::get<double>(parameters.at("kept_ratio"));
  p.top_p = std::get<double>(parameters.at("top_p"));
  p.block_tokens = std::stoll(std::get<std::string>(parameters.at("block_tokens")));
  p.first_blocks = std::get<std::int64_t>(parameters.at("first_blocks"));
  p.isolated = std::get<bool>(parameters.at("isolated_pooling"));
  p.padded = std::get<std::string>(parameters.at("block_means")) == "padded";
  p.exact_count = std::get<bool>(parameters.at("top_k_rounding"));
  return std::make_unique<RectifiedSpaAttn>(p);
}

std::unique_ptr<Correction> make_rectified(const ParameterValues& parameters) {
  const std::string gain = std::get<std::string>(parameters.at("gain"));
  return std::make_unique<Rectification>(gain == "fold" ? Gain::Fold : gain == "drop" ? Gain::Drop : Gain::Off,
                                         std::get<bool>(parameters.at("isolated_pooling")),
                                         std::get<std::string>(parameters.at("block_means")) == "padded");
}

}  // namespace ditscope
