// AdaCache: after each computed step, how much the attention of one block has changed says how many steps reuse it.
//
// Kahatapitiya et al., ICCV 2025, arXiv:2411.02397, and its code; norms are L1 over all elements:
//   p_t    what the attention of one block in the middle adds to the video tokens, gate included
//   c_t    = |p_t - p_(t-k)| / |p_(t-k)| / k                      k: steps since the last computed one
//   MoReg:   c_t *= mo_t + |10 (mo_t - mo_(t-k)) / k|             mo = (|p[f] - p[f-1]| / (|p[f]| + |p[f-1]|) / 0.385)^8 over frames f,
//                                                                 1 in the first and last tenth of the steps
//   the next step computed is t + codebook(c_t); those between add what the last computed step added.
//   the first step and the last two are computed; the second, too, for there is nothing to compare the first with.
//
// Differs from the code:
// - Its residuals are kept per block, attention and feed-forward apart; while all of them are reused together their sum is what the
//   stack of blocks added, which is kept instead: one tensor for two a block, the same states but for rounding.
// - k is the number of steps that really lie between, where the code divides by the interval it had chosen: they differ only
//   after a step that had to be computed early.
// - The codebook fits runs of 100 (or 30) steps; `scaled` scales its intervals to the run's. A factor scales its distances.
#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>

#include "core/step_cache/methods.h"

namespace ditscope {
namespace {

constexpr double kMotionScale = 0.385, kMotionPower = 8, kMotionGradient = 10;
constexpr double kMotionFrom = 0.1, kMotionTo = 0.9;  // shares of the steps, counted from 1

double l1(const at::Tensor& x) {
  return x.to(at::kFloat).abs().sum(at::kDouble).item<double>();
}

class AdaCache final : public StepCache {
 public:
  AdaCache(double factor, std::vector<CodebookRow> codebook, double depth, bool motion)
      : factor_(factor), codebook_(std::move(codebook)), depth_(depth), motion_(motion) {}

  std::unique_ptr<StepCache> clone() const override { return std::make_unique<AdaCache>(*this); }

  int enter(const BlockPass& pass, bool must_compute, int block, at::Tensor& x) override {
    if (block > 0) return block;
    State& state = states_.of(pass, x);
    if (!must_compute && state.residual.defined() && pass.step < state.computed_step + state.interval_steps) {
      x = x + state.residual;  // (B,T,C)
      return pass.blocks;
    }
    state.entered = x.clone();
    return block;
  }

  bool watches_attention(const BlockPass& pass, int block) const override {
    return block == std::min<int>(static_cast<int>(std::lround(depth_ * pass.blocks)), pass.blocks - 1);
  }

  void attended(const BlockPass& pass, int, const at::Tensor& added) override {
    State& state = states_.of(pass, added);
    const at::Tensor now = visual(added, pass.layout).clone();  // (B,S,C)
    state.interval_steps = 1;
    if (state.attention.defined()) {
      const double steps = std::max(1, pass.step - state.computed_step);
      double change = l1(state.attention - now) / l1(state.attention) / steps;
      if (motion_) {
        const double motion = motion_of(now, pass), gradient = kMotionGradient * (motion - state.motion) / steps;
        state.motion = motion;
        change *= motion + std::abs(gradient);
      }
      state.interval_steps = interval_of(change);
    }
    state.attention = now;
  }

  void leave(const BlockPass& pass, const at::Tensor& x) override {
    State& state = states_.of(pass, x);
    if (!state.entered.defined()) return;
    state.residual = x - state.entered;  // (B,T,C)
    state.entered.reset();
    state.computed_step = pass.step;
  }

  std::int64_t bytes_held() const override {
    return states_.bytes([](const State& s) { return bytes_of(s.residual) + bytes_of(s.attention) + bytes_of(s.entered); });
  }
  std::int64_t estimate_bytes(const StepCacheSizes& s) const override { return 3 * s.states_bytes(); }

 private:
  struct State {
    at::Tensor residual;   // (B,T,C) of all blocks
    at::Tensor attention;  // (B,S,C) p
    at::Tensor entered;    // (B,T,C) while a step is computed
    int computed_step = 0, interval_steps = 1;
    double motion = 1;
  };

  int interval_of(double change) const {
    for (const CodebookRow& row : codebook_) {
      if (change < factor_ * row.distance) return row.interval_steps;
    }
    return codebook_.back().interval_steps;
  }

  double motion_of(const at::Tensor& p, const BlockPass& pass) const {
    const TokenLayout& l = pass.layout;
    const double at_step = pass.step + 1, steps = pass.steps;
    if (at_step < std::floor(kMotionFrom * steps) || at_step > std::floor(kMotionTo * steps) || l.frames < 2) return 1;
    const bool frame_major = l.order == TokenOrder::FrameMajor;
    const at::Tensor frames = frame_major ? p.unflatten(1, {l.frames, l.sites()}) : p.unflatten(1, {l.sites(), l.frames}).transpose(1, 2);
    const at::Tensor later = frames.slice(1, 1), earlier = frames.slice(1, 0, l.frames - 1);  // (B,F-1,S,C)
    return std::pow(l1(later - earlier) / (l1(later) + l1(earlier)) / kMotionScale, kMotionPower);
  }

  double factor_;
  std::vector<CodebookRow> codebook_;
  double depth_;
  bool motion_;
  PassStates<State> states_;
};

}  // namespace

std::unique_ptr<StepCache> make_adacache(const ParameterValues& parameters, int steps) {
  return std::make_unique<AdaCache>(std::get<double>(parameters.at("cache_threshold")),
                                    adacache_codebook(std::get<std::string>(parameters.at("cache_codebook")), steps),
                                    std::get<double>(parameters.at("cache_depth")), std::get<bool>(parameters.at("cache_motion")));
}

}  // namespace ditscope
