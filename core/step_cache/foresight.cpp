// Foresight: each block learns in warm-up how much it changes from step to step, and is reused while it changes less.
//
// Adnan et al., NeurIPS 2025, arXiv:2506.00329, and its code for CogVideoX:
//   C_l      what block l left behind when it was last computed
//   delta_l  = mean (C_l(new) - C_l(old))^2                       measured whenever block l is computed
//   lambda_l = delta_l between the last two steps of warm-up (code);  the sum of the last three, weights 1, 1/10, 1/100 (paper)
//   every `period`-th step from the end of warm-up computes all blocks
//   at the steps between, block l may be reused while delta_l <= gamma lambda_l:
//     output (its code):  x = C_l of the last such block; all blocks before it are left out, those after it are computed
//     residual:           each such block by itself adds what it added before; C_l is then the residual of the block
#include <ATen/ATen.h>

#include <cmath>
#include <limits>

#include "core/step_cache/methods.h"

namespace ditscope {
namespace {

class Foresight final : public StepCache {
 public:
  Foresight(double gamma, int warmup_steps, int period, bool outputs, bool of_three)
      : gamma_(gamma), warmup_steps_(warmup_steps), period_(period), outputs_(outputs), of_three_(of_three) {}

  std::unique_ptr<StepCache> clone() const override { return std::make_unique<Foresight>(*this); }

  int enter(const BlockPass& pass, bool must_compute, int block, at::Tensor& x) override {
    State& state = states_.of(pass, x);
    state.blocks.resize(static_cast<std::size_t>(pass.blocks));
    note(state, pass, x);  // of the block before
    const bool adaptive = !must_compute && pass.step >= warmup_steps_ && (pass.step - warmup_steps_) % period_ != 0;
    if (adaptive && outputs_ && block == 0) {
      for (int last = pass.blocks - 1; last >= 0 && block == 0; --last) {
        if (!may_reuse(state, last)) continue;
        x = state.blocks[static_cast<std::size_t>(last)].left.clone();  // (B,T,C)
        block = last + 1;
      }
    }
    while (adaptive && !outputs_ && block < pass.blocks && may_reuse(state, block)) {
      x = x + state.blocks[static_cast<std::size_t>(block)].left;  // (B,T,C)
      ++block;
    }
    state.computing = block;
    if (!outputs_ && block < pass.blocks) state.entered = x.clone();
    return block;
  }

  void leave(const BlockPass& pass, const at::Tensor& x) override { note(states_.of(pass, x), pass, x); }

  std::int64_t bytes_held() const override {
    return states_.bytes([](const State& state) {
      std::int64_t bytes = bytes_of(state.entered);
      for (const Block& block : state.blocks) bytes += bytes_of(block.left);
      return bytes;
    });
  }
  std::int64_t estimate_bytes(const StepCacheSizes& s) const override { return (s.blocks + 1) * s.states_bytes(); }

 private:
  struct Block {
    at::Tensor left;  // (B,T,C) C_l
    double delta = std::numeric_limits<double>::quiet_NaN(), lambda = std::numeric_limits<double>::quiet_NaN();
  };
  struct State {
    std::vector<Block> blocks;  // (L)
    at::Tensor entered;         // (B,T,C) what entered the block that is computed
    int computing = -1;         ///< block that is computed now; -1: none
  };

  bool may_reuse(const State& state, int block) const {
    const Block& b = state.blocks[static_cast<std::size_t>(block)];
    return b.left.defined() && b.delta <= gamma_ * b.lambda;
  }

  /// The block that was computed has left `x`.
  void note(State& state, const BlockPass& pass, const at::Tensor& x) const {
    if (state.computing < 0 || state.computing >= pass.blocks) {
      state.computing = -1;
      return;
    }
    Block& block = state.blocks[static_cast<std::size_t>(state.computing)];
    const at::Tensor left = outputs_ ? x.clone() : x - state.entered;  // (B,T,C)
    if (block.left.defined()) {
      block.delta = (left.to(at::kFloat) - block.left.to(at::kFloat)).square().mean().item<double>();
      const bool more = of_three_ && !std::isnan(block.lambda);
      if (pass.step < warmup_steps_ && pass.step >= warmup_steps_ - (of_three_ ? 3 : 1))
        block.lambda = block.delta + (more ? block.lambda / 10 : 0);  // each step pushes those before it down
    }
    block.left = left;
    state.entered.reset();
    state.computing = -1;
  }

  double gamma_;
  int warmup_steps_, period_;
  bool outputs_, of_three_;
  PassStates<State> states_;
};

}  // namespace

std::unique_ptr<StepCache> make_foresight(const ParameterValues& parameters) {
  const auto integer = [&](const char* key) { return static_cast<int>(std::get<std::int64_t>(parameters.at(key))); };
  return std::make_unique<Foresight>(std::get<double>(parameters.at("cache_threshold")), integer("cache_warmup_steps"),
                                     integer("cache_period"), std::get<bool>(parameters.at("cache_jump")),
                                     std::get<std::string>(parameters.at("cache_lambda")) == "paper");
}

}  // namespace ditscope
