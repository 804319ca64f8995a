// Re-ttention: window attention, scaled row by row to the share of the softmax that the window held at the last refresh, plus
// what the skipped tokens gave then.
//
// Chen et al., NeurIPS 2025, arXiv:2505.22918:
//   O^F_i = softmax over all V      LSE^F_i = log sum over all  of e^s_ij        s_ij = scale * q_i k_j
//   O^W_i = softmax over S_i V      LSE^W_i = log sum over S_i  of e^s_ij        S_i: core/attention/window_plan.h
//   (Eq. 8)   rho_i = exp(LSE^W_i - LSE^F_i), in (0,1]                           per (guidance branch, head, row), float32
//   (Eq. 10)  R_i = O^F_i - rho_i O^W_i                                          refresh step; its output is O^F
//   (Eq. 9)   O_k = rhohat_k O^W_k + R,   rhohat_k = rho + (k-1) lambda          k-th sparse step after a refresh
//
// Differs from the paper (where its code differs too, the code is followed):
// - rhohat is not clamped at 1, as in the code; the switch `clamp` gives the paper's 0 < rho <= 1.
// - R is kept per head before the output projection; the code keeps the difference of layer outputs, which is the same sum.
// - A refresh computes R as (1 - rho) times the attention over the skipped keys, in one pass over all pairs, without
// cancellation.
// - Refreshes are counted from the end of warm-up, so that the first step after it is always one: the same as the code wherever
//   the warm-up is a multiple of the period, as in all of the paper's settings.
#include <ATen/ATen.h>

#include "core/attention/branch_states.h"
#include "core/attention/methods.h"
#include "core/attention/window_plan.h"
#include "core/bridge/attention.h"

namespace ditscope {
namespace {

struct RettentionParameters {
  double lambda = 0.04;
  bool clamp = false, use_rho = true, use_residual = true;
};

class Rettention final : public Method {
 public:
  Rettention(const WindowParameters& window, const RettentionParameters& parameters, int steps)
      : window_(window, steps), parameters_(parameters) {}

  std::unique_ptr<Method> clone() const override { return std::make_unique<Rettention>(*this); }
  TokenOrder preferred_order(const TokenLayout& layout) const override { return WindowPlanner::preferred_order(layout); }
  double requested_kept_ratio() const override { return window_.kept_ratio(); }
  Schedule schedule(int steps, int layers) const override { return window_.schedule(steps, layers); }
  std::int64_t estimate_bytes(const MethodSizes& s) const override {
    const std::int64_t rows = window_.kept_ratio() >= 1 ? 0 : s.layers * s.batch * s.heads * s.tokens;
    return rows * ((parameters_.use_rho ? 4 : 0) + (parameters_.use_residual ? s.head_dim * s.element_bytes : 0));
  }

  BlockPlan plan(const LayerCall& call) override {
    StepKind kind = window_.scheduled(call);
    if (kind == StepKind::Sparse) {
      for (const State* state : states_.of(call)) {
        if (!state->fits(call.q)) kind = StepKind::Refresh;  // nothing to reuse yet
      }
    }
    return window_.plan(call, kind);
  }

  at::Tensor execute(const LayerCall& call, const BlockPlan& plan) override {
    if (plan.kind == StepKind::Full) return dense_attention(call);
    at::Tensor out = output_like(call.q);  // (B,H,T,D)
    const std::vector<State*> states = states_.of(call);
    for (std::int64_t b = 0; b < call.q.size(0); ++b) {
      State& state = *states[static_cast<std::size_t>(b)];
      if (plan.kind == StepKind::Refresh)
        refresh(call, b, plan, state, out);
      else
        masked_attention(call, b, *plan.mask, next_row_scale(state), state.residual, out);
    }
    return out;
  }

  RowCorrection row_correction(const LayerCall& call, std::int64_t batch) override {
    const State& state = *states_.of(call)[static_cast<std::size_t>(batch)];
    if (state.sparse_steps == 0) return {};
    RowCorrection correction{row_scale(state, state.sparse_steps - 1), {}, state.residual};
    if (parameters_.use_rho) correction.mass = state.residual.defined() ? correction.scale + 1 - state.rho : correction.scale;
    return correction;
  }
  int replay_from(int step, int layers) const override { return window_.replay_from(step, layers); }

  std::int64_t bytes_held() const override {
    const auto bytes = [](const at::Tensor& tensor) { return tensor.defined() ? static_cast<std::int64_t>(tensor.nbytes()) : 0; };
    return window_.bytes() + states_.bytes([&](const State& state) { return bytes(state.rho) + bytes(state.residual); });
  }

 private:
  struct State {
    at::Tensor rho;        // (H,T) float32, as the refresh measured it
    at::Tensor residual;   // (H,T,D)
    int sparse_steps = 0;  ///< since the refresh
    bool refreshed = false;
    bool fits(const at::Tensor& q) const {
      return refreshed && (!rho.defined() || rho.sizes() == q.sizes().slice(1, 2)) &&
             (!residual.defined() || residual.sizes() == q.sizes().slice(1));
    }
  };

  void refresh(const LayerCall& call, std::int64_t batch, const BlockPlan& plan, State& state, at::Tensor& out) {
    SplitResult split =
        split_attention(call, batch, *plan.mask, window_.skipped(), !parameters_.use_rho, parameters_.use_residual, out);
    if (parameters_.use_rho) state.rho = at::exp(split.log_sum_exp_kept - split.log_sum_exp);  // (H,T), Eq. 8
    state.residual = split.residual;                                                           // (H,T,D), Eq. 10
    state.sparse_steps = 0;
    state.refreshed = true;
  }

  at::Tensor next_row_scale(State& state) const { return row_scale(state, state.sparse_steps++); }
  /// rhohat after `sparse_steps` sparse steps; undefined where the window is not scaled.
  at::Tensor row_scale(const State& state, int sparse_steps) const {
    if (!parameters_.use_rho) return {};
    const at::Tensor scale = state.rho + parameters_.lambda * sparse_steps;  // (H,T)
    return parameters_.clamp ? scale.clamp_max(1.0) : scale;
  }

  WindowPlanner window_;
  RettentionParameters parameters_;
  BranchStates<State> states_;
};

}  // namespace

std::unique_ptr<Method> make_rettention(const ParameterValues& parameters, int steps) {
  const auto on = [&](const char* key) { return std::get<bool>(parameters.at(key)); };
  return std::make_unique<Rettention>(
      window_parameters(parameters, StepKind::Refresh),
      RettentionParameters{std::get<double>(parameters.at("lambda")), on("clamp"), on("use_rho"), on("use_residual")}, steps);
}

}  // namespace ditscope
