// DiTFastAttn: window attention with a residual remembered from the last full step.
//
// Yuan et al., NeurIPS 2024, arXiv:2406.08552, Sec. 3.2 (WA-RS):
//   refresh step r:   O_r = softmax over all (scale * Q K^T) V        W_r = softmax over S_i V
//                     R = O_r - W_r
//   later step k:     O_k = W_k + R
//
// Differs from the paper:
// - The residual sharing alone, on a fixed schedule (warm-up, refresh every few steps). The paper's search chooses per step and
// layer
//   between this, reusing whole outputs and sharing between guidance branches; Re-ttention compares against it as here.
// - The window is Re-ttention's site window with text always on (the paper: a 1-D band of N/8 on each side, images without text).
// - R is kept per head, before the output projection, as the paper says; refresh computes it from one pass over all pairs.
// - Any plan goes in place of the window; the selection of a refresh is held until the next one, for R belongs to it.
#include <ATen/ATen.h>

#include "core/attention/branch_states.h"
#include "core/attention/methods.h"
#include "core/attention/stored_residual.h"

namespace ditscope {
namespace {

class WindowResidual final : public Correction {
 public:
  explicit WindowResidual(const ResidualStorage& storage) : storage_(storage) {}
  std::unique_ptr<Correction> clone() const override { return std::make_unique<WindowResidual>(*this); }
  bool refreshes() const override { return true; }
  bool unit_rho() const override { return true; }
  bool needs_residual() const override { return true; }
  bool ready(const LayerCall& call, std::int64_t batch) override {
    return states_.of(call)[static_cast<std::size_t>(batch)]->shape == call.q.sizes().slice(1).vec();
  }

  void refresh(const LayerCall& call, std::int64_t batch, const SplitResult& split, const Selection&) override {
    *states_.of(call)[static_cast<std::size_t>(batch)] = {StoredResidual(split.residual, storage_), call.q.sizes().slice(1).vec()};
  }
  RowCorrection apply(const LayerCall& call, std::int64_t batch, const LayerCall&, const Selection&) override {
    return {{}, {}, states_.of(call)[static_cast<std::size_t>(batch)]->residual.restored()};
  }

  std::int64_t bytes_held() const override {
    return states_.bytes([](const State& state) { return state.residual.bytes(); });
  }
  std::int64_t estimate_bytes(const MethodSizes& s) const override {
    return storage_.estimate_bytes(s);
  }

 private:
  struct State {
    StoredResidual residual;          // (H,S,D) R
    std::vector<std::int64_t> shape;  // (H,T,D) that the refresh saw; empty before one
  };
  ResidualStorage storage_;
  BranchStates<State> states_;
};

class NoCorrection final : public Correction {
 public:
  bool changes_nothing() const override { return true; }
  std::unique_ptr<Correction> clone() const override { return std::make_unique<NoCorrection>(*this); }
};

}  // namespace

std::unique_ptr<Correction> make_window_residual(const ParameterValues& parameters) {
  return std::make_unique<WindowResidual>(ResidualStorage::of(parameters));
}

std::unique_ptr<Correction> make_no_correction(const ParameterValues&) {
  return std::make_unique<NoCorrection>();
}

}  // namespace ditscope
