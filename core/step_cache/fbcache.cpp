// First Block Cache: the first blocks are always computed and decide whether those after them are.
//
// ParaAttention's First Block Cache as diffusers 0.42 has it (F = 1, B = 0), and its extension DBCache of cache-dit (F = 8, B = 0):
//   r      = x_F - x_0                                            what the first F blocks add to the video tokens
//   diff   = mean|r - r'| / mean|r'|                              r' of the last computed step
//   diff <= threshold:  x_(L-B) = x_F + M                         M = x_(L-B) - x_F of the last computed step, text included
//   otherwise:          compute the middle, renew r' and M
//   the last B blocks are computed in either case.
//
//   DBCache computes all blocks, too, after so many cached steps in a row (`cache_max_steps`) or in all (`cache_max_total`).
//
// Differs from the codes: both guidance branches of a batch are decided on together.
#include <ATen/ATen.h>

#include <algorithm>

#include "core/step_cache/methods.h"

namespace ditscope {
namespace {

class FirstBlockCache final : public StepCache {
 public:
  FirstBlockCache(double threshold, int first_blocks, int last_blocks, int max_steps, int max_total)
      : threshold_(threshold), first_blocks_(first_blocks), last_blocks_(last_blocks), max_steps_(max_steps), max_total_(max_total) {}

  std::unique_ptr<StepCache> clone() const override { return std::make_unique<FirstBlockCache>(*this); }
  bool starts_anew() const override { return true; }

  int enter(const BlockPass& pass, bool must_compute, int block, at::Tensor& x) override {
    const int begin = std::min(first_blocks_, pass.blocks), end = std::max(begin, pass.blocks - last_blocks_);
    if (begin == end) return block;  // there is no middle
    if (block != 0 && block != begin && block != end) return block;
    State& state = states_.of(pass, x);
    if (block == 0) state.entered = x.clone();
    if (block == end) keep_middle(state, x);
    if (block != begin) return block;

    const at::Tensor added = visual(x, pass.layout) - visual(state.entered, pass.layout);  // (B,S,C)
    state.entered.reset();
    const bool compute = must_compute || !state.middle.defined() || (max_steps_ > 0 && state.steps_in_a_row >= max_steps_) ||
                         (max_total_ > 0 && state.steps_in_all >= max_total_) || !(relative_change(added, state.added) <= threshold_);
    if (compute) {
      state.added = added;
      state.at_begin = x.clone();
      state.steps_in_a_row = 0;
      return block;
    }
    x = x + state.middle;  // (B,T,C)
    ++state.steps_in_a_row;
    ++state.steps_in_all;
    return end;
  }

  void leave(const BlockPass& pass, const at::Tensor& x) override { keep_middle(states_.of(pass, x), x); }

  std::int64_t bytes_held() const override {
    return states_.bytes(
        [](const State& s) { return bytes_of(s.added) + bytes_of(s.middle) + bytes_of(s.entered) + bytes_of(s.at_begin); });
  }
  std::int64_t estimate_bytes(const StepCacheSizes& s) const override { return 3 * s.states_bytes(); }

 private:
  struct State {
    at::Tensor added;     // (B,S,C) r'
    at::Tensor middle;    // (B,T,C) M
    at::Tensor entered;   // (B,T,C) x_0 while the first blocks are computed
    at::Tensor at_begin;  // (B,T,C) x_F while the middle is computed
    int steps_in_a_row = 0, steps_in_all = 0;
  };

  static void keep_middle(State& state, const at::Tensor& x) {
    if (!state.at_begin.defined()) return;
    state.middle = x - state.at_begin;  // (B,T,C)
    state.at_begin.reset();
  }

  double threshold_;
  int first_blocks_, last_blocks_, max_steps_, max_total_;
  PassStates<State> states_;
};

}  // namespace

std::unique_ptr<StepCache> make_fbcache(const ParameterValues& parameters) {
  const auto integer = [&](const char* key) { return static_cast<int>(std::get<std::int64_t>(parameters.at(key))); };
  return std::make_unique<FirstBlockCache>(std::get<double>(parameters.at("cache_threshold")), integer("cache_first_blocks"),
                                           integer("cache_last_blocks"), integer("cache_max_steps"), integer("cache_max_total"));
}

}  // namespace ditscope
