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

#include "core/attention/block_grid.h"
#include "core/attention/branch_states.h"
#include "core/attention/methods.h"

namespace ditscope {
namespace {

constexpr double kNothing = -std::numeric_limits<double>::infinity();
constexpr double kLargestScale = 8, kLeastSkipped = 1e-6;

/// Slots cut into groups: `group` consecutive visual ones, every text one by itself.
struct Groups {
  at::Tensor of;      // (S) long
  at::Tensor counts;  // (1 or H, G) float32, slots that hold a token
  std::int64_t size() const { return counts.size(1); }

  /// Mean of the rows of each group. @param rows (H,S,D)
  at::Tensor means(const at::Tensor& rows) const {
    const at::Tensor sums = at::zeros({rows.size(0), size(), rows.size(2)}, rows.options().dtype(at::kFloat));
    return sums.index_add(1, of.to(rows.device()), rows.to(at::kFloat)) / counts.to(rows.device()).clamp_min(1).unsqueeze(2);  // (H,G,D)
  }
};

/// @param tokens  (S) or (H,S) token of each slot, the number of tokens where empty; undefined: tokens as they come
Groups groups_of(const TokenLayout& layout, const at::Tensor& tokens, std::int64_t group) {
  const std::int64_t text_begin = layout.text_first ? 0 : layout.visual_tokens(), text_end = text_begin + layout.text_tokens;
  const std::int64_t slots = tokens.defined() ? tokens.size(-1) : layout.tokens();
  const bool by_head = tokens.defined() && tokens.dim() == 2;  // text then lies elsewhere in every head
  const at::Tensor flat = tokens.defined() && !by_head ? tokens : at::arange(slots, at::kLong);
  const std::int64_t* token = flat.const_data_ptr<std::int64_t>();
  std::vector<std::int64_t> of(static_cast<std::size_t>(slots));
  std::int64_t next = -1, left = 0;
  for (std::int64_t s = 0; s < slots; ++s) {
    const bool text = !by_head && token[s] >= text_begin && token[s] < text_end;
    if (text || left == 0) {
      ++next;
      left = text ? 1 : group;
    }
    of[static_cast<std::size_t>(s)] = next;
    --left;
    if (text) left = 0;
  }
  Groups groups;
  groups.of = at::tensor(of, at::kLong);
  const at::Tensor filled = tokens.defined() ? tokens.lt(layout.tokens()).to(at::kFloat) : at::ones({slots}, at::kFloat);
  const at::Tensor planes = by_head ? filled : filled.unsqueeze(0);  // (1 or H, S)
  groups.counts = at::zeros({planes.size(0), next + 1}, at::kFloat).index_add(1, groups.of, planes);
  return groups;
}

/// Logits between means, what a group holds of what counts included. @param weights (1 or H, G, G) tokens of each group that count
struct PooledRows {
  at::Tensor log_mass;  // (H,G) λ
  at::Tensor out;       // (H,G,D) u; undefined unless values are given
  at::Tensor shares;    // (H,G,G)
};
PooledRows pooled_rows(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v, const at::Tensor& weights, double scale) {
  const at::Tensor logits = at::matmul(q, k.transpose(1, 2)) * scale + at::log(weights);  // (H,G,G)
  PooledRows rows;
  rows.log_mass = at::logsumexp(logits, 2);                                                                  // (H,G)
  rows.shares = at::exp(logits - rows.log_mass.unsqueeze(2)).nan_to_num(0, 0, 0);                            // (H,G,G)
  if (v.defined()) rows.out = at::matmul(rows.shares, v);                                                    // (H,G,D)
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
    at::Tensor weights = layout.groups.counts.to(q.device()).unsqueeze(1);                           // (1,1,G)
    if (call.key_mask.defined()) {
      const at::Tensor allowed = call.key_mask[batch].to(at::kFloat).view({1, -1, 1});
      weights = weights * layout.groups.means(allowed).transpose(1, 2);
    }
    const at::Tensor shares = pooled_rows(q, k, {}, weights, call.scale).shares;                      // (H,G,G)
    const at::Tensor in_block = layout.in_block.to(q.device());                                       // (G,N)
    const at::Tensor rows = shares * layout.groups.counts.to(q.device()).unsqueeze(2);                // (H,G,G)
    const at::Tensor mass = at::matmul(at::matmul(in_block.t(), rows), in_block).to(at::kCPU);        // (H,N,N)
    return {select(layout.grid, choose(mass, *layout.grid))};
  }

  std::int64_t estimate_bytes(const MethodSizes& s) const override {
    return s.tokens * 8 + most_groups(s.tokens, p_.group_tokens) * (s.tokens / kBlockTokens + 2) * 4;
  }
  std::int64_t bytes_held() const override {
    const auto& layout = layouts_.latest();
    return layout ? static_cast<std::int64_t>(layout->in_block.nbytes() + layout->groups.of.nbytes() + layout->groups.counts.nbytes()) : 0;
  }

 private:
  struct Layout {
    std::shared_ptr<const BlockGrid> grid;
    Groups groups;
    at::Tensor in_block;  // (G,N) share of a group's tokens that lies in each block
  };

  Layout lay_out(const TokenLayout& layout) const {
    TokenLayout plain;  // tokens as they come, wherever text is
    plain.columns = layout.tokens();
    Layout made{std::make_shared<const BlockGrid>(plain, kBlockTokens, BlockGrid::Text::Joined), groups_of(layout, {}, p_.group_tokens), {}};
    const at::Tensor block = at::arange(layout.tokens(), at::kLong).div(kBlockTokens, "floor");
    const at::Tensor where = at::one_hot(block, made.grid->blocks()).to(at::kFloat).unsqueeze(0);  // (1,T,N)
    made.in_block = made.groups.means(where)[0];
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
    if (!p_.pooled_change) return;
    const LayerCall one = element_in_slots(call, batch, selection.arrangement());
    state.weights = weights_of(call, one, selection);
    state.then = pooled_of(one, state);
  }

  RowCorrection combine(const LayerCall& call, std::int64_t batch, const LayerCall& one, const Selection&, const at::Tensor& log_sum_exp,
                        at::Tensor& out) override {
    const State& state = *states_.of(call)[static_cast<std::size_t>(batch)];
    at::Tensor log_skipped = state.log_skipped, moved;  // (H,S), (H,S,D)
    if (p_.pooled_change) {
      const PooledRows now = pooled_of(one, state);
      const at::Tensor of = state.weights.queries.of.to(one.q.device());
      if (p_.measured_mass) log_skipped = log_skipped + (now.log_mass - state.then.log_mass).nan_to_num(0, 0, 0).index_select(1, of);
      moved = (now.out - state.then.out).index_select(1, of);
    }
    RowCorrection rows;
    const at::Tensor kept = p_.measured_mass ? at::sigmoid(log_sum_exp - log_skipped) : 1 - state.skipped;     // (H,S) ρ
    const at::Tensor rest = p_.measured_mass ? at::sigmoid(log_skipped - log_sum_exp) : state.skipped;         // 1 - ρ
    rows.scale = kept;
    rows.mass = at::ones_like(kept);
    rows.residual = state.residual.to(at::kFloat) * (rest / state.skipped).clamp_max(kLargestScale).unsqueeze(2);  // (H,S,D)
    if (moved.defined()) rows.residual = rows.residual + rest.unsqueeze(2) * moved;
    out[0].copy_(out[0].to(at::kFloat) * kept.unsqueeze(2) + rows.residual);
    rows.residual = rows.residual.to(call.q.scalar_type());
    return rows;
  }

  std::int64_t bytes_held() const override {
    const auto bytes = [](const at::Tensor& t) { return t.defined() ? static_cast<std::int64_t>(t.nbytes()) : 0; };
    return states_.bytes([&](const State& s) {
      return bytes(s.residual) + bytes(s.skipped) + bytes(s.log_skipped) + bytes(s.weights.skipped) + bytes(s.then.log_mass) + bytes(s.then.out);
    });
  }
  std::int64_t estimate_bytes(const MethodSizes& s) const override {
    const std::int64_t groups = p_.pooled_change ? most_groups(s.tokens, p_.group_tokens) : 0;
    return s.layers * s.batch * s.heads * (s.tokens * (8 + s.head_dim * s.element_bytes) + groups * (groups + s.head_dim + 1) * 4);
  }

 private:
  struct Weights {
    Groups queries, keys;
    at::Tensor skipped;  // (1 or H, G, G) tokens of a key group that a query group skips, m
  };
  struct State {
    at::Tensor residual;               // (H,S,D) R
    at::Tensor skipped, log_skipped;   // (H,S) 1 - ρ_r and LSE^S_r
    Weights weights;
    PooledRows then;                   ///< at the refresh
    std::vector<std::int64_t> shape;   // (H,T,D)
  };

  Weights weights_of(const LayerCall& call, const LayerCall& one, const Selection& selection) const {
    const Arrangement* arrangement = selection.arrangement();
    Weights w{groups_of(call.layout, arrangement ? arrangement->queries : at::Tensor(), p_.group_tokens),
              groups_of(call.layout, arrangement ? arrangement->keys : at::Tensor(), p_.group_tokens), {}};
    const std::int64_t heads = call.q.size(1), slots = one.q.size(2), planes = selection.by_head() || selection.mask().heads() > 0 ? heads : 1;
    at::Tensor kept = at::zeros({planes, w.queries.size(), w.keys.size()}, at::kFloat);  // pairs of each two groups
    for (std::int64_t first = 0; first < slots; first += kBlockTokens) {
      std::vector<std::int64_t> rows;
      for (std::int64_t s = first; s < std::min(first + kBlockTokens, slots); ++s) rows.push_back(s);
      const at::Tensor keeps = kept_slot_rows(selection, heads, rows).to(at::kFloat);                              // (1 or H, rows, S)
      const at::Tensor sums = at::zeros({keeps.size(0), keeps.size(1), w.keys.size()}, at::kFloat).index_add(2, w.keys.of, keeps);
      kept.index_add_(1, w.queries.of.narrow(0, first, static_cast<std::int64_t>(rows.size())), sums.expand({planes, -1, -1}));
    }
    // Rows of empty query slots keep something too; a group is never less than nothing.
    w.skipped = (w.keys.counts.unsqueeze(1) - kept / w.queries.counts.unsqueeze(2).clamp_min(1)).clamp_min(0);
    w.skipped = at::where(w.skipped.lt(1e-4), at::zeros_like(w.skipped), w.skipped).to(call.q.device());
    if (one.key_mask.defined())
      w.skipped = w.skipped * w.keys.means(one.key_mask[0].to(at::kFloat).view({1, -1, 1})).transpose(1, 2);
    return w;
  }

  static PooledRows pooled_of(const LayerCall& one, const State& state) {
    PooledRows rows = pooled_rows(state.weights.queries.means(one.q[0]), state.weights.keys.means(one.k[0]),
                                  state.weights.keys.means(one.v[0]), state.weights.skipped, one.scale);
    rows.shares = at::Tensor();
    return rows;
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
