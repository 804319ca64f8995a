// Re-ttention: sparse attention, scaled row by row to the share of the softmax that the kept pairs held at the last refresh, plus
// what the skipped tokens gave then.
//
// Chen et al., NeurIPS 2025, arXiv:2505.22918:
//   O^F_i = softmax over all V      LSE^F_i = log sum over all  of e^s_ij        s_ij = scale * q_i k_j
//   O^W_i = softmax over S_i V      LSE^W_i = log sum over S_i  of e^s_ij        S_i: the window, or any other plan's
//   (Eq. 8)   rho_i = exp(LSE^W_i - LSE^F_i), in (0,1]                           per (guidance branch, head, row), float32
//   (Eq. 10)  R_i = O^F_i - rho_i O^W_i                                          refresh step; its output is O^F
//   (Eq. 9)   O_k = rhohat_k O^W_k + R,   rhohat_k = rho + (k-1) lambda          k-th sparse step after a refresh
//
// Differs from the paper (where its code differs too, the code is followed):
// - rhohat is not clamped at 1, as in the code; the switch `clamp` gives the paper's 0 < rho <= 1.
// - rhohat grows after each sparse step, as in the code; the switch `ramp_at_once` lets the first one have rho + lambda already, as the
//   paper's "after each step" can be read.
// - R is kept per head before the output projection; the code keeps the difference of layer outputs, which is the same sum.
// - A refresh computes R as (1 - rho) times the attention over the skipped keys, in one pass over all pairs, without
// cancellation.
// - Refreshes are counted from the end of warm-up, so that the first step after it is always one: the same as the code wherever
//   the warm-up is a multiple of the period, as in all of the paper's settings.
// - Any plan goes in place of the window (the authors leave that open): the selection of a refresh is then held until the next one,
//   for rho and R belong to it.
#include <ATen/ATen.h>

#include "core/attention/branch_states.h"
#include "core/attention/methods.h"
#include "core/attention/stored_residual.h"

namespace ditscope {
namespace {

struct RettentionParameters {
  double lambda = 0.04;
  bool clamp = false, use_rho = true, use_residual = true;
  bool ramp_at_once = false;  ///< the paper's rho_t = rho_(t-1) + lambda also for the first sparse step
  ResidualStorage storage;
};

class Rettention final : public Correction {
 public:
  explicit Rettention(const RettentionParameters& parameters) : parameters_(parameters) {}

  std::unique_ptr<Correction> clone() const override { return std::make_unique<Rettention>(*this); }
  bool refreshes() const override { return true; }
  bool unit_rho() const override { return !parameters_.use_rho; }
  bool needs_residual() const override { return parameters_.use_residual; }
  bool ready(const LayerCall& call, std::int64_t batch) override {
    const State& state = *states_.of(call)[static_cast<std::size_t>(batch)];
    return state.refreshed && state.shape == call.q.sizes().slice(1).vec();
  }

  void refresh(const LayerCall& call, std::int64_t batch, const SplitResult& split, const Selection&) override {
    State& state = *states_.of(call)[static_cast<std::size_t>(batch)];
    if (parameters_.use_rho) state.rho = at::exp(split.log_sum_exp_kept - split.log_sum_exp);  // (H,S), Eq. 8
    if (split.residual.defined()) state.residual = StoredResidual(split.residual, parameters_.storage);  // (H,S,D), Eq. 10
    state.sparse_steps = 0;
    state.shape = call.q.sizes().slice(1).vec();
    state.refreshed = true;
  }

  RowCorrection apply(const LayerCall& call, std::int64_t batch, const LayerCall&, const Selection&) override {
    State& state = *states_.of(call)[static_cast<std::size_t>(batch)];
    RowCorrection rows{row_scale(state, state.sparse_steps++ + (parameters_.ramp_at_once ? 1 : 0)), {}, state.residual.restored()};
    if (parameters_.use_rho) rows.mass = state.residual.defined() ? rows.scale + 1 - state.rho : rows.scale;
    return rows;
  }

  std::int64_t bytes_held() const override {
    const auto bytes = [](const at::Tensor& tensor) { return tensor.defined() ? static_cast<std::int64_t>(tensor.nbytes()) : 0; };
    return states_.bytes([&](const State& state) { return bytes(state.rho) + state.residual.bytes(); });
  }
  std::int64_t estimate_bytes(const MethodSizes& s) const override {
    const std::int64_t rows = s.layers * s.batch * s.heads * s.tokens;
    return (parameters_.use_rho ? rows * 4 : 0) + (parameters_.use_residual ? parameters_.storage.estimate_bytes(s) : 0);
  }

 private:
  struct State {
    at::Tensor rho;                   // (H,S) float32, as the refresh measured it
    StoredResidual residual;          // (H,S,D)
    int sparse_steps = 0;             ///< since the refresh
    std::vector<std::int64_t> shape;  // (H,T,D) that the refresh saw
    bool refreshed = false;
  };

  /// rhohat after `sparse_steps` sparse steps; undefined where rows are not scaled.
  at::Tensor row_scale(const State& state, int sparse_steps) const {
    if (!parameters_.use_rho) return {};
    const at::Tensor scale = state.rho + parameters_.lambda * sparse_steps;  // (H,S)
    return parameters_.clamp ? scale.clamp_max(1.0) : scale;
  }

  RettentionParameters parameters_;
  BranchStates<State> states_;
};

}  // namespace

std::unique_ptr<Correction> make_rettention(const ParameterValues& parameters) {
  const auto on = [&](const char* key) { return std::get<bool>(parameters.at(key)); };
  return std::make_unique<Rettention>(
      RettentionParameters{std::get<double>(parameters.at("lambda")), on("clamp"), on("use_rho"), on("use_residual"),
                           on("ramp_at_once"), ResidualStorage::of(parameters)});
}

}  // namespace ditscope
