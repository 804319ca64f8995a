// Window only: the mask of Re-ttention and nothing that makes up for what it skips. What a correction is worth shows against it.
//
//   O_i = softmax over S_i of (scale * q_i k_j) V,   S_i = the window of row i (core/attention/window_plan.h)
//
// The mask is that of Re-ttention, NeurIPS 2025, arXiv:2505.22918, Sec. 4; the schedule gives it the same full steps, as the
// paper does for its baselines. Differs from the paper: nothing; the paper shows this window only with its corrections.
#include "core/attention/methods.h"
#include "core/attention/window_plan.h"
#include "core/bridge/attention.h"

namespace ditscope {
namespace {

class WindowAttention final : public Method {
 public:
  WindowAttention(const ParameterValues& parameters, int steps) : window_(window_parameters(parameters, StepKind::Full), steps) {}

  std::unique_ptr<Method> clone() const override { return std::make_unique<WindowAttention>(*this); }
  TokenOrder preferred_order(const TokenLayout& layout) const override { return WindowPlanner::preferred_order(layout); }
  double requested_kept_ratio() const override { return window_.kept_ratio(); }
  Schedule schedule(int steps, int layers) const override { return window_.schedule(steps, layers); }
  int replay_from(int step, int) const override { return step; }
  BlockPlan plan(const LayerCall& call) override { return window_.plan(call, window_.scheduled(call)); }

  at::Tensor execute(const LayerCall& call, const BlockPlan& plan) override {
    if (plan.kind == StepKind::Full) return dense_attention(call);
    at::Tensor out = output_like(call.q);  // (B,H,T,D)
    for (std::int64_t b = 0; b < call.q.size(0); ++b) masked_attention(call, b, *plan.mask, {}, {}, out);
    return out;
  }

  std::int64_t bytes_held() const override { return window_.bytes(); }

 private:
  WindowPlanner window_;
};

}  // namespace

std::unique_ptr<Method> make_window(const ParameterValues& parameters, int steps) {
  return std::make_unique<WindowAttention>(parameters, steps);
}

}  // namespace ditscope
