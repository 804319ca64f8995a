// Full attention: every token attends to every token. The reference that the other methods are held against.
//
//   O = softmax(scale * Q K^T) V
//
// Vaswani et al. 2017, arXiv:1706.03762, Eq. 1. Differs from the paper: nothing.
#include "core/attention/methods.h"
#include "core/bridge/attention.h"

namespace ditscope {
namespace {

class FullAttention final : public Method {
 public:
  std::unique_ptr<Method> clone() const override { return std::make_unique<FullAttention>(*this); }
  Schedule schedule(int steps, int layers) const override { return make_schedule({.warmup_steps = steps}, steps, layers); }
  int replay_from(int step, int) const override { return step; }
  BlockPlan plan(const LayerCall&) override { return {}; }
  at::Tensor execute(const LayerCall& call, const BlockPlan&) override { return dense_attention(call); }
};

}  // namespace

std::unique_ptr<Method> make_full_attention() {
  return std::make_unique<FullAttention>();
}

}  // namespace ditscope
