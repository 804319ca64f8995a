// DiTScope auto: blocks by attention between groups of tokens; what they skip is taken from the last refresh and moved by the change
// that the groups have seen since.
//
// Ours, made of parts of Re-ttention (arXiv:2505.22918: refreshes, the ratio rho of denominators), Rectified SpaAttn
// (arXiv:2511.19835: pooled attention with text apart) and control variates. Tokens lie position-major, so that g neighbours are one
// site or few over all frames; a, c are groups of g visual tokens or single text tokens, n their sizes, q̄ k̄ v̄ their means:
//   plan     P_ac = n_c e^{s q̄_a·k̄_c} / Σ_c' ...;  W_ij = Σ_{a in i, c in j} n_a P_ac;  keep the blocks of 64 of all heads of the layer
//            with the largest W_ij / (n_i n_j) until kept_ratio of the pairs is spent
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

#include "core/attention/block_grid.h"
#include "core/attention/branch_states.h"
#include "core/attention/methods.h"
#include "core/attention/token_groups.h"
#include "core/bridge/anchored_rows.h"

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
  bool share_heads = true;
};

class DitscopeAuto final : public Planner {
 public:
  explicit DitscopeAuto(const PlanParameters& parameters) : p_(parameters) {}
  std::unique_ptr<Planner> clone() const override { return std::make_unique<DitscopeAuto>(*this); }
  TokenOrder preferred_order(const TokenLayout&) const override { return TokenOrder::PositionMajor; }
  std::optional<double> requested_kept_ratio() const override { return p_.kept_ratio; }

  Planned plan(const LayerCall& call, std::int64_t batch) override {
    const Layout& layout = *layouts_.of(call.layout, [&] { return std::make_shared<const Layout>(lay_out(call.layout)); });
    const at::Tensor q = layout.groups.means(call.q[batch]), k = layout.groups.means(call.k[batch]);  // (H,G,D)
    at::Tensor weights = layout.groups.counts().to(q.device()).unsqueeze(1);                         // (1,1,G)
    if (call.key_mask.defined()) {
      const at::Tensor allowed = call.key_mask[batch].to(at::kFloat).view({1, -1, 1});
      weights = weights * layout.groups.means(allowed).transpose(1, 2);
    }
    at::Tensor shares;  // (H,G,G)
    pooled_rows(q, k, {}, at::log(weights), call.scale, &shares);
    const at::Tensor in_block = layout.in_block.to(q.device());                                       // (G,N)
    const at::Tensor tokens_in = in_block * layout.groups.counts().to(q.device()).t();                // (G,N)
    const at::Tensor mass = at::matmul(at::matmul(tokens_in.t(), shares), in_block).to(at::kCPU);     // (H,N,N)
    return {select(layout.grid, choose(mass, *layout.grid))};
  }

  std::int64_t estimate_bytes(const MethodSizes& s) const override {
    return s.tokens * 8 + most_groups(s.tokens, p_.group_tokens) * (s.tokens / kBlockTokens + 2) * 4;
  }
  std::int64_t bytes_held() const override {
    const auto& layout = layouts_.latest();
    return layout ? static_cast<std::int64_t>(layout->in_block.nbytes()) + layout->groups.bytes() : 0;
  }

 private:
  struct Layout {
    std::shared_ptr<const BlockGrid> grid;
    TokenGroups groups;
    at::Tensor in_block;  // (G,N) share of a group's tokens that lies in each block
  };

  Layout lay_out(const TokenLayout& layout) const {
    TokenLayout plain;  // tokens as they come, wherever text is
    plain.columns = layout.tokens();
    Layout made{std::make_shared<const BlockGrid>(plain, kBlockTokens, BlockGrid::Text::Joined), {layout, {}, p_.group_tokens}, {}};
    made.in_block = made.groups.in_blocks(kBlockTokens);
    return made;
  }

  /// The densest blocks, of all heads together or of each, within the budget of pairs.
  at::Tensor choose(const at::Tensor& mass, const BlockGrid& grid) const {
    const std::int64_t heads = mass.size(0), n = grid.blocks();
    const at::Tensor area = (grid.counts().unsqueeze(1) * grid.counts().unsqueeze(0)).expand({heads, n, n}).reshape({heads, n * n});
    const at::Tensor density = mass.to(at::kDouble).reshape({heads, n * n}) / area;
    const auto plane = [&](const at::Tensor& values) { return p_.share_heads ? values.reshape({1, -1}) : values; };
    const at::Tensor pairs = plane(area), order = at::argsort(plane(density), /*stable=*/true, 1, /*descending=*/true);
    const double tokens = grid.counts().sum().item<double>();
    const double budget = p_.kept_ratio * tokens * tokens * (p_.share_heads ? static_cast<double>(heads) : 1.0);
    const at::Tensor within = pairs.gather(1, order).cumsum(1).le(budget * (1 + 1e-9));
    return at::zeros(pairs.sizes(), at::kBool).scatter_(1, order, within).view({heads, n, n});
  }

  PlanParameters p_;
  PerLayout<Layout> layouts_;
};

struct AnchorParameters {
  std::int64_t group_tokens = 16;
  bool measured_mass = true, pooled_change = true;
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
    state.residual = split.residual;
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
    rows.residual = state.residual;
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
      return bytes(s.residual) + bytes(s.skipped) + bytes(s.log_skipped) + bytes(s.log_weights) + bytes(s.then.log_mass) + bytes(s.then.out);
    });
  }
  std::int64_t estimate_bytes(const MethodSizes& s) const override {
    const std::int64_t groups = p_.pooled_change ? most_groups(s.tokens, p_.group_tokens) : 0;
    return s.layers * s.batch * s.heads * (s.tokens * (8 + s.head_dim * s.element_bytes) + groups * (groups + s.head_dim + 1) * 4);
  }

 private:
  struct State {
    at::Tensor residual;              // (H,S,D) R
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
  return std::make_unique<DitscopeAuto>(PlanParameters{std::get<double>(parameters.at("kept_ratio")),
                                                       std::stoll(std::get<std::string>(parameters.at("group_tokens"))),
                                                       std::get<bool>(parameters.at("share_heads"))});
}

std::unique_ptr<Correction> make_anchored(const ParameterValues& parameters) {
  return std::make_unique<Anchored>(AnchorParameters{std::stoll(std::get<std::string>(parameters.at("group_tokens"))),
                                                     std::get<bool>(parameters.at("measured_mass")),
                                                     std::get<bool>(parameters.at("pooled_change"))});
}

}  // namespace ditscope
