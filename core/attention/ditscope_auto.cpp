// DiTScope auto: blocks by attention between groups of tokens; what they skip is taken from the last refresh and moved by the change
// that the groups have seen since.
//
// Ours, made of parts of Re-ttention (arXiv:2505.22918: refreshes, the ratio rho of denominators), Rectified SpaAttn
// (arXiv:2511.19835: pooled attention with text apart) and control variates. Tokens lie position-major, so that g neighbours are one
// site or few over all frames; a, c are groups of g visual tokens or single text tokens, n their sizes, q̄ k̄ v̄ their means:
//   plan     P_ac = n_c e^{s q̄_a·k̄_c} / Σ_c' ...;  σ_ac² = Σ over channels of (mean q²)_a (var k)_c + (var q)_a k̄_c²
//            W_ij = Σ_{a in i, c in j} n_a P_ac σ_ac: what means miss of a block is its attention times the spread of its logits
//            keep the blocks of 64 of all heads of the layer with the largest W_ij / (n_i n_j) until its share of the budget is spent;
//            shares: what each layer would have kept at the refresh before (at first: in the last step of warm-up), had all drawn on
//            one budget
//   refresh  O^F, LSE^F, LSE^W exactly;  ρ_r = e^{LSE^W - LSE^F};  R = O^F - ρ_r O^W;  LSE^S_r = LSE^F + log(1 - ρ_r)
//   pooled   with m_ac = n_c (1 - share of the pairs of a and c that is kept):
//            λ_a = log Σ_c m_ac e^{s q̄_a·k̄_c},   u_a = Σ_c m_ac e^{s q̄_a·k̄_c - λ_a} v̄_c
//   sparse   O^W and LSE^W exactly, λ and u anew;  row i in group a:
//            LSE^S = LSE^S_r + (λ_a - λ_a,r)                       the denominator of what is skipped
//            ρ  = 1 / (1 + e^{LSE^S - LSE^W}),  1-ρ likewise       measured, not ramped
//            O  = ρ O^W + (1-ρ)/(1-ρ_r) R + (1-ρ) (u_a - u_a,r)
// The last line is O^S_r + u - u_r, a control variate: what pooling loses cancels as long as it changes slowly. Nothing changed: O = O^F.
//
// (1-ρ)/(1-ρ_r) is at most 8; a row that skipped less than a millionth of its attention at the refresh is taken to skip nothing.
#include <ATen/ATen.h>

#include <algorithm>
#include <limits>
#include <memory>
#include <numeric>

#include "core/attention/block_grid.h"
#include "core/attention/branch_states.h"
#include "core/attention/methods.h"
#include "core/attention/stored_residual.h"
#include "core/attention/token_groups.h"
#include "core/bridge/anchored_rows.h"
#include "kernels/permutation.h"

namespace ditscope {
namespace {

constexpr double kNothing = -std::numeric_limits<double>::infinity();
constexpr float kLargestScale = 8;
constexpr double kLeastSkipped = 1e-6;

/// Attention between means, what a group holds of what counts included.
struct PooledRows {
  at::Tensor log_mass;  // (H,G) λ
  at::Tensor out;       // (H,G,D) u; undefined unless values are given
};
/// @param log_weights (1 or H, 1 or G, G) log of the tokens of each group that count     @param shares (H,G,G), written; null to skip
PooledRows pooled_rows(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v, const at::Tensor& log_weights, double scale,
                       at::Tensor* shares = nullptr) {
  const std::int64_t groups = k.size(1);
  at::Tensor logits = at::baddbmm(log_weights.expand({q.size(0), q.size(1), groups}), q, k.transpose(1, 2), 1, scale);  // (H,G,G)
  PooledRows rows;
  rows.log_mass = soften_rows(logits);                    // (H,G)
  if (v.defined()) rows.out = at::bmm(logits, v);         // (H,G,D)
  if (shares) *shares = logits;
  return rows;
}

/// Text tokens are groups of their own; models have up to 256 of them.
std::int64_t most_groups(std::int64_t tokens, std::int64_t group) {
  return tokens / group + 1 + std::min<std::int64_t>(tokens, 256);
}

struct PlanParameters {
  double kept_ratio = 0.03;
  std::int64_t group_tokens = 16;
  bool by_spread = true, share_heads = true, share_layers = true;
};

class DitscopeAuto final : public Planner {
 public:
  explicit DitscopeAuto(const PlanParameters& parameters) : p_(parameters) {}
  std::unique_ptr<Planner> clone() const override { return std::make_unique<DitscopeAuto>(*this); }
  TokenOrder preferred_order(const TokenLayout&) const override { return TokenOrder::PositionMajor; }
  std::optional<double> requested_kept_ratio() const override { return p_.kept_ratio; }
  int replay_from(int step) const override { return p_.share_layers ? 0 : step; }  // shares come from the plan before

  void observe(const LayerCall& call, std::int64_t batch, bool last) override {
    if (last && p_.share_layers) remember(call, batch, density_of(call, batch, layout_of(call)));
  }

  Planned plan(const LayerCall& call, std::int64_t batch) override {
    const Layout& layout = layout_of(call);
    const at::Tensor density = density_of(call, batch, layout);  // (H,N,N)
    const double share = p_.share_layers ? share_of(call, batch, density, *layout.grid) : 1;
    return {select(layout.grid, choose(density, *layout.grid, p_.kept_ratio * share))};
  }

  std::int64_t estimate_bytes(const MethodSizes& s) const override {
    const std::int64_t blocks = (s.tokens + kBlockTokens - 1) / kBlockTokens;
    const std::int64_t seen = p_.share_layers ? s.layers * s.batch * 2 * s.heads * blocks * blocks * 4 : 0;
    return s.tokens * 32 + most_groups(s.tokens, p_.group_tokens) * (blocks + 4) * 4 + seen;
  }
  std::int64_t bytes_held() const override {
    const auto& layout = layouts_.latest();
    const auto bytes = [](const at::Tensor& t) { return t.defined() ? static_cast<std::int64_t>(t.nbytes()) : 0; };
    return (layout ? bytes(layout->in_block) + layout->groups.bytes() : 0) +
           seen_.bytes([&](const Seen& seen) { return bytes(seen.latest) + bytes(seen.before); });
  }

 private:
  struct Layout {
    std::shared_ptr<const BlockGrid> grid;
    TokenGroups groups;
    at::Tensor in_block;  // (G,N) share of a group's tokens that lies in each block
  };
  /// Densities of the blocks of a layer at the last plan and at the one of an earlier step.
  struct Seen {
    at::Tensor latest, before;  // (H,N,N) float32
    int latest_step = -1;
  };
  /// What each layer spends at a step, over what they spend on average.
  struct Shares {
    int step = -1;
    std::vector<double> of_layer;
  };

  /// The token of each place; empty: tokens lie so already.
  static std::vector<std::int32_t> position_major(const TokenLayout& layout) {
    if (layout.order == TokenOrder::PositionMajor || layout.frames == 1 || layout.sites() == 1) return {};
    const auto begin = static_cast<std::int32_t>(layout.visual_begin());
    std::vector<std::int32_t> order(static_cast<std::size_t>(layout.tokens()));
    std::iota(order.begin(), order.end(), 0);
    const Permutation visual = position_major_order({layout.frames, layout.rows, layout.columns});
    std::transform(visual.begin(), visual.end(), order.begin() + begin, [begin](std::int32_t token) { return begin + token; });
    return order;
  }

  Layout lay_out(const TokenLayout& layout) const {
    TokenLayout plain;  // text where it is, the frames of a site side by side
    plain.columns = layout.tokens();
    const auto grid = std::make_shared<const BlockGrid>(plain, kBlockTokens, BlockGrid::Text::Joined, position_major(layout));
    const auto& arrangement = grid->arrangement();
    Layout made{grid, {layout, arrangement ? arrangement->queries : at::Tensor(), p_.group_tokens}, {}};
    made.in_block = made.groups.in_blocks(kBlockTokens);
    return made;
  }

  const Layout& layout_of(const LayerCall& call) {
    return *layouts_.of(call.layout, [&] { return std::make_shared<const Layout>(lay_out(call.layout)); });
  }

  void remember(const LayerCall& call, std::int64_t batch, const at::Tensor& density) {
    Seen& seen = *seen_.of(call)[static_cast<std::size_t>(batch)];
    if (seen.latest_step != call.step) seen = {density, seen.latest, call.step};
    seen.latest = density;
  }

  /// W_ij / (n_i n_j).
  at::Tensor density_of(const LayerCall& call, std::int64_t batch, const Layout& layout) const {
    const TokenGroups& groups = layout.groups;
    const LayerCall one = element_in_slots(call, batch, layout.grid->arrangement().get());
    const at::Tensor q = groups.means(one.q[0]), k = groups.means(one.k[0]);           // (H,G,D)
    at::Tensor weights = groups.counts().to(q.device()).unsqueeze(1);                  // (1,1,G)
    if (one.key_mask.defined()) {
      const at::Tensor allowed = one.key_mask[0].to(at::kFloat).view({1, -1, 1});
      weights = weights * groups.means(allowed).transpose(1, 2);
    }
    at::Tensor shares;  // (H,G,G)
    pooled_rows(q, k, {}, at::log(weights), call.scale, &shares);
    if (p_.by_spread) {
      const at::Tensor q_squares = groups.means(one.q[0].to(at::kFloat).square()), k_squares = groups.means(one.k[0].to(at::kFloat).square());
      const at::Tensor k_means = k.square(), q_varies = (q_squares - q.square()).clamp_min(0), k_varies = (k_squares - k_means).clamp_min(0);
      const at::Tensor variance = at::matmul(q_squares, k_varies.transpose(1, 2)) + at::matmul(q_varies, k_means.transpose(1, 2));  // (H,G,G)
      shares = shares * variance.sqrt_();
    }
    const at::Tensor in_block = layout.in_block.to(q.device());                                    // (G,N)
    const at::Tensor tokens_in = in_block * groups.counts().to(q.device()).t();                    // (G,N)
    const at::Tensor mass = at::matmul(at::matmul(tokens_in.t(), shares), in_block).to(at::kCPU);  // (H,N,N)
    return mass / areas(*layout.grid).to(at::kFloat);
  }

  static at::Tensor areas(const BlockGrid& grid) { return grid.counts().unsqueeze(1) * grid.counts().unsqueeze(0); }  // (N,N) pairs

  /// Which blocks, densest first, are within a budget of pairs. @param densities, pairs (P,K)
  static at::Tensor densest(const at::Tensor& densities, const at::Tensor& pairs, double budget) {
    const at::Tensor order = at::argsort(densities, /*stable=*/true, 1, /*descending=*/true);
    const at::Tensor within = pairs.gather(1, order).cumsum(1).le(budget * (1 + 1e-9));
    return at::zeros(pairs.sizes(), at::kBool).scatter_(1, order, within);
  }

  /// The densest blocks, of all heads together or of each, within the budget of pairs.
  at::Tensor choose(const at::Tensor& density, const BlockGrid& grid, double kept_ratio) const {
    const std::int64_t heads = density.size(0), planes = p_.share_heads ? 1 : heads;
    const at::Tensor area = areas(grid).expand(density.sizes()).reshape({planes, -1});
    const double budget = kept_ratio * areas(grid).sum().item<double>() * static_cast<double>(heads / planes);
    return densest(density.reshape({planes, -1}), area, budget).view(density.sizes());
  }

  /// What this layer may spend over what layers spend on average: what it would have kept by what was seen in an earlier step, had all
  /// layers drawn on one budget. 1 as long as nothing was.
  double share_of(const LayerCall& call, std::int64_t batch, const at::Tensor& density, const BlockGrid& grid) {
    LayerCall other = call;
    const auto seen_in = [&](int layer) -> Seen& {
      other.layer = layer;
      return *seen_.of(other)[static_cast<std::size_t>(batch)];
    };
    remember(call, batch, density);
    Shares& shares = *[&] {
      other.layer = -1;
      return shares_.of(other)[static_cast<std::size_t>(batch)];
    }();
    if (shares.step != call.step || static_cast<int>(shares.of_layer.size()) != call.layers) {
      shares = {call.step, std::vector<double>(static_cast<std::size_t>(call.layers), 1)};
      std::vector<at::Tensor> all;
      std::vector<int> layers;
      for (int layer = 0; layer < call.layers; ++layer) {
        const Seen& seen = seen_in(layer);
        const at::Tensor& of_layer = seen.latest_step == call.step ? seen.before : seen.latest;
        if (!of_layer.defined() || of_layer.sizes() != density.sizes()) continue;
        all.push_back(of_layer.flatten());
        layers.push_back(layer);
      }
      if (layers.empty()) return 1;
      const auto count = static_cast<std::int64_t>(layers.size());
      const at::Tensor area = areas(grid).expand(density.sizes()).reshape({1, -1}).repeat({1, count});
      const double each = areas(grid).sum().item<double>() * static_cast<double>(density.size(0)) * p_.kept_ratio;
      const at::Tensor kept = densest(at::cat(all).unsqueeze(0), area, each * static_cast<double>(count)) * area;
      const at::Tensor spent = kept.view({count, -1}).sum(1) / each;  // (L)
      for (std::int64_t i = 0; i < count; ++i)
        shares.of_layer[static_cast<std::size_t>(layers[static_cast<std::size_t>(i)])] = spent[i].item<double>();
    }
    return shares.of_layer[static_cast<std::size_t>(call.layer)];
  }

  PlanParameters p_;
  PerLayout<Layout> layouts_;
  BranchStates<Seen> seen_;
  BranchStates<Shares> shares_;
};

struct AnchorParameters {
  std::int64_t group_tokens = 16;
  bool measured_mass = true, pooled_change = true;
  ResidualStorage storage;
};

class Anchored final : public Correction {
 public:
  explicit Anchored(const AnchorParameters& parameters) : p_(parameters) {}
  std::unique_ptr<Correction> clone() const override { return std::make_unique<Anchored>(*this); }
  bool refreshes() const override { return true; }
  bool needs_residual() const override { return true; }
  bool combines() const override { return true; }
  bool ready(const LayerCall& call, std::int64_t batch) override {
    return states_.of(call)[static_cast<std::size_t>(batch)]->shape == call.q.sizes().slice(1).vec();
  }
  double pooled_kept_ratio(const LayerCall& call) const override {
    if (!p_.pooled_change) return 0;
    const auto groups = static_cast<double>(call.layout.text_tokens + (call.layout.visual_tokens() + p_.group_tokens - 1) / p_.group_tokens);
    const auto tokens = static_cast<double>(call.layout.tokens());
    return groups * groups / (tokens * tokens);
  }

  void refresh(const LayerCall& call, std::int64_t batch, const SplitResult& split, const Selection& selection) override {
    State& state = *states_.of(call)[static_cast<std::size_t>(batch)];
    const at::Tensor log_rho = (split.log_sum_exp_kept - split.log_sum_exp).clamp_max(-1e-7);  // (H,S)
    state.skipped = -at::expm1(log_rho);                                                       // 1 - ρ_r
    state.log_skipped = (split.log_sum_exp + at::log(state.skipped)).masked_fill(state.skipped.le(kLeastSkipped), kNothing);
    state.residual = StoredResidual(split.residual, p_.storage);
    state.shape = call.q.sizes().slice(1).vec();
    const Arrangement* arrangement = selection.arrangement();
    const auto groups = [&](const at::Tensor& tokens) { return std::make_shared<const TokenGroups>(call.layout, tokens, p_.group_tokens); };
    state.queries = groups(arrangement ? arrangement->queries : at::Tensor());
    if (!p_.pooled_change) return;
    const bool same = !arrangement || arrangement->keys.is_same(arrangement->queries);
    state.keys = same ? state.queries : groups(arrangement->keys);
    const LayerCall one = element_in_slots(call, batch, arrangement);
    state.log_weights = log_weights_of(one, selection, state);
    state.then = pooled_of(one, state);
  }

  RowCorrection combine(const LayerCall& call, std::int64_t batch, const LayerCall& one, const Selection&, const at::Tensor& log_sum_exp,
                        at::Tensor& out) override {
    const State& state = *states_.of(call)[static_cast<std::size_t>(batch)];
    AnchoredRows rows;
    if (p_.measured_mass) rows.log_sum_exp = log_sum_exp;
    rows.skipped = state.skipped;
    rows.log_skipped = state.log_skipped;
    rows.residual = state.residual.restored();
    rows.offsets = state.queries->offsets();
    rows.group_of = state.queries->of();
    rows.largest_scale = kLargestScale;
    if (p_.pooled_change) {
      const PooledRows now = pooled_of(one, state);
      rows.log_moved = (now.log_mass - state.then.log_mass).nan_to_num(0, 0, 0);  // (H,G)
      rows.moved = now.out - state.then.out;                                      // (H,G,D)
    }
    at::Tensor rows_out = out[0];
    add_anchored(rows, rows_out);
    return {rows.rho, at::ones_like(rows.rho), rows.added};
  }

  std::int64_t bytes_held() const override {
    const auto bytes = [](const at::Tensor& t) { return t.defined() ? static_cast<std::int64_t>(t.nbytes()) : 0; };
    return states_.bytes([&](const State& s) {
      return s.residual.bytes() + bytes(s.skipped) + bytes(s.log_skipped) + bytes(s.log_weights) + bytes(s.then.log_mass) + bytes(s.then.out);
    });
  }
  std::int64_t estimate_bytes(const MethodSizes& s) const override {
    const std::int64_t groups = p_.pooled_change ? most_groups(s.tokens, p_.group_tokens) : 0;
    return p_.storage.estimate_bytes(s) + s.layers * s.batch * s.heads * (s.tokens * 8 + groups * (groups + s.head_dim + 1) * 4);
  }

 private:
  struct State {
    StoredResidual residual;          // (H,S,D) R
    at::Tensor skipped, log_skipped;  // (H,S) 1 - ρ_r and LSE^S_r
    std::shared_ptr<const TokenGroups> queries, keys;
    at::Tensor log_weights;           // (1 or H, G, G) log of m, the tokens of a key group that a query group skips
    PooledRows then;                  ///< at the refresh
    std::vector<std::int64_t> shape;  // (H,T,D)
  };

  static at::Tensor log_weights_of(const LayerCall& one, const Selection& selection, const State& state) {
    const at::Tensor kept = kept_pairs(selection, one.q.size(1), *state.queries, *state.keys);  // (1 or H, G, G)
    at::Tensor skipped = (state.keys->counts().unsqueeze(1) - kept / state.queries->counts().unsqueeze(2).clamp_min(1)).clamp_min(0);
    skipped = at::where(skipped.lt(1e-4), at::zeros_like(skipped), skipped).to(one.q.device());
    if (one.key_mask.defined()) skipped = skipped * state.keys->means(one.key_mask[0].to(at::kFloat).view({1, -1, 1})).transpose(1, 2);
    return at::log(skipped);
  }

  static PooledRows pooled_of(const LayerCall& one, const State& state) {
    return pooled_rows(state.queries->means(one.q[0]), state.keys->means(one.k[0]), state.keys->means(one.v[0]), state.log_weights, one.scale);
  }

  AnchorParameters p_;
  BranchStates<State> states_;
};

}  // namespace

std::unique_ptr<Planner> make_ditscope_auto(const ParameterValues& parameters, int) {
  const auto on = [&](const char* key) { return std::get<bool>(parameters.at(key)); };
  return std::make_unique<DitscopeAuto>(
      PlanParameters{std::get<double>(parameters.at("kept_ratio")), std::stoll(std::get<std::string>(parameters.at("group_tokens"))),
                     std::get<std::string>(parameters.at("blocks_by")) == "spread", on("share_heads"), on("share_layers")});
}

std::unique_ptr<Correction> make_anchored(const ParameterValues& parameters) {
  return std::make_unique<Anchored>(AnchorParameters{std::stoll(std::get<std::string>(parameters.at("group_tokens"))),
                                                     std::get<bool>(parameters.at("measured_mass")),
                                                     std::get<bool>(parameters.at("pooled_change")),
                                                     ResidualStorage::of(parameters)});
}

}  // namespace ditscope
