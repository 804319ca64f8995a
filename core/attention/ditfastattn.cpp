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
#include "core/attention/branch_states.h"
#include "core/attention/methods.h"
#include "core/attention/window_plan.h"
#include "core/bridge/attention.h"

namespace ditscope {
namespace {

class DitFastAttn final : public Method {
 public:
  DitFastAttn(const ParameterValues& parameters, int steps) : window_(window_parameters(parameters, StepKind::Refresh), steps) {}

  std::unique_ptr<Method> clone() const override { return std::make_unique<DitFastAttn>(*this); }
  TokenOrder preferred_order(const TokenLayout& layout) const override { return WindowPlanner::preferred_order(layout); }
  double requested_kept_ratio() const override { return window_.kept_ratio(); }
  Schedule schedule(int steps, int layers) const override { return window_.schedule(steps, layers); }
  std::int64_t estimate_bytes(const MethodSizes& s) const override {
    return window_.kept_ratio() >= 1 ? 0 : s.layers * s.batch * s.heads * s.tokens * s.head_dim * s.element_bytes;
  }

  BlockPlan plan(const LayerCall& call) override {
    StepKind kind = window_.scheduled(call);
    if (kind == StepKind::Sparse) {
      for (const at::Tensor* residual : residuals_.of(call)) {
        if (!residual->defined() || residual->sizes() != call.q.sizes().slice(1))
          kind = StepKind::Refresh;  // nothing to reuse yet
      }
    }
    return window_.plan(call, kind);
  }

  at::Tensor execute(const LayerCall& call, const BlockPlan& plan) override {
    if (plan.kind == StepKind::Full) return dense_attention(call);
    at::Tensor out = output_like(call.q);  // (B,H,T,D)
    const std::vector<at::Tensor*> residuals = residuals_.of(call);
    for (std::int64_t b = 0; b < call.q.size(0); ++b) {
      at::Tensor& residual = *residuals[static_cast<std::size_t>(b)];  // (H,T,D)
      if (plan.kind == StepKind::Refresh)
        residual = split_attention(call, b, *plan.mask, window_.skipped(), true, true, out).residual;
      else
        masked_attention(call, b, *plan.mask, {}, residual, out);
    }
    return out;
  }

  RowCorrection row_correction(const LayerCall& call, std::int64_t batch) override {
    return window_.scheduled(call) == StepKind::Sparse ? RowCorrection{{}, {}, *residuals_.of(call)[static_cast<std::size_t>(batch)]}
                                                       : RowCorrection{};
  }
  int replay_from(int step, int layers) const override { return window_.replay_from(step, layers); }

  std::int64_t bytes_held() const override {
    return window_.bytes() +
           residuals_.bytes([](const at::Tensor& r) { return r.defined() ? static_cast<std::int64_t>(r.nbytes()) : 0; });
  }

 private:
  WindowPlanner window_;
  BranchStates<at::Tensor> residuals_;
};

}  // namespace

std::unique_ptr<Method> make_ditfastattn(const ParameterValues& parameters, int steps) {
  return std::make_unique<DitFastAttn>(parameters, steps);
}

}  // namespace ditscope
