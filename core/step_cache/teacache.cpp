// TeaCache: a whole call of the transformer is left out while its input has changed little since the last computed one.
//
// Liu et al., CVPR 2025, arXiv:2411.19108, and its code:
//   m_t    what is watched: the time embedding (e), its projection for the first block (e0), or that block's input, normed and
//          modulated by it
//   d_t    = mean|m_t - m_(t-1)| / mean|m_(t-1)|                  from every step to the next, computed or not
//   acc    += poly(d_t)                                           poly: degree 4, fitted to how much the output changes
//   acc < threshold:  x_out = x_in + R                            R = x_out - x_in of all blocks at the last computed step
//   otherwise:        compute all blocks, renew R, acc = 0
//   the first and the last step are computed.
//
// Differs from the code:
// - Both guidance branches of a batch are decided on together, as its CogVideoX variant does; separate calls decide each by itself.
// - Where no polynomial is known for a model, d itself is summed up, of the modulated input.
// - A threshold of 0 computes every step; in the code a polynomial that is negative for small d may still leave some out.
#include <ATen/ATen.h>

#include "core/step_cache/methods.h"

namespace ditscope {
namespace {

class TeaCache final : public StepCache {
 public:
  TeaCache(double threshold, const TeaCachePolynomial* polynomial) : threshold_(threshold) {
    if (!polynomial) return;
    signal_ = polynomial->signal;
    coefficients_ = polynomial->coefficients;
  }

  std::unique_ptr<StepCache> clone() const override { return std::make_unique<TeaCache>(*this); }
  bool starts_anew() const override { return true; }

  int enter(const BlockPass& pass, bool must_compute, int block, at::Tensor& x) override {
    if (block > 0) return block;
    State& state = states_.of(pass, x);
    const at::Tensor watched = signal_ == StepSignal::Time ? pass.time : signal_ == StepSignal::Projected ? pass.projected() : pass.modulated();
    bool compute = must_compute || !state.residual.defined();
    if (!compute) {
      state.distance += rescaled(relative_change(watched, state.watched));
      compute = !(state.distance < threshold_);
    }
    state.watched = watched;
    if (!compute) {
      x = x + state.residual;  // (B,T,C)
      return pass.blocks;
    }
    state.distance = 0;
    state.entered = x.clone();
    return block;
  }

  void leave(const BlockPass& pass, const at::Tensor& x) override {
    State& state = states_.of(pass, x);
    if (!state.entered.defined()) return;
    state.residual = x - state.entered;  // (B,T,C)
    state.entered.reset();
  }

  std::int64_t bytes_held() const override {
    return states_.bytes([](const State& s) { return bytes_of(s.watched) + bytes_of(s.residual) + bytes_of(s.entered); });
  }
  std::int64_t estimate_bytes(const StepCacheSizes& s) const override {
    const std::int64_t width = signal_ == StepSignal::Time ? s.time_width : 6 * s.width;
    return 2 * s.states_bytes() + (signal_ == StepSignal::Modulated ? s.states_bytes() : s.batch * width * s.element_bytes);
  }

 private:
  struct State {
    at::Tensor watched;   // m of the step before
    at::Tensor residual;  // (B,T,C) R
    at::Tensor entered;   // (B,T,C) while a step is computed
    double distance = 0;
  };

  /// The polynomial by Horner's rule; without one, the change itself.
  double rescaled(double change) const {
    if (coefficients_.empty()) return change;
    double value = 0;
    for (const double coefficient : coefficients_) value = value * change + coefficient;
    return value;
  }

  double threshold_;
  StepSignal signal_ = StepSignal::Modulated;
  std::vector<double> coefficients_;
  PassStates<State> states_;
};

}  // namespace

std::unique_ptr<StepCache> make_teacache(const ParameterValues& parameters, const TeaCachePolynomial* polynomial) {
  return std::make_unique<TeaCache>(std::get<double>(parameters.at("cache_threshold")), polynomial);
}

}  // namespace ditscope
