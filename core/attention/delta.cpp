// Delta attention: every gamma-th row is attended to in full, and the difference that makes moves the rows after it.
//
// Willette et al. 2025, arXiv:2505.11254:
//   Delta_i = O_full,(i gamma) - O*_(i gamma),   O_j = O*_j + Delta_floor(j / gamma)
//
// Differs from the paper:
// - Rows are counted in the order in which the plan lays the tokens, so that a group lies together where the plan's blocks do.
// - Its code computes the last N mod gamma + max(128, gamma) rows in full, from which a language model writes on; a denoiser has no
//   such rows: `delta_tail`. Without it the last group, however short, moves as the others.
// - `delta_rows_only` replaces the dense rows and moves no other: the paper's ablation "recompute".
#include <ATen/ATen.h>

#include <algorithm>
#include <limits>

#include "core/attention/methods.h"

namespace ditscope {
namespace {

class Delta final : public Correction {
 public:
  Delta(std::int64_t stride, bool rows_only, bool tail) : stride_(stride), rows_only_(rows_only), tail_(tail) {}
  std::unique_ptr<Correction> clone() const override { return std::make_unique<Delta>(*this); }

  void finish(const LayerCall& call, std::int64_t batch, const LayerCall& one, const Selection& selection, at::Tensor& out) override {
    const std::int64_t heads = call.q.size(1), tokens = call.q.size(2), width = call.q.size(3);
    at::Tensor slots;  // (H,T) slots that hold a token, in order
    if (const Arrangement* arrangement = selection.arrangement())
      slots = std::get<0>(arrangement->query_slots.sort(-1)).expand({heads, tokens});
    else
      slots = at::arange(tokens, at::kLong).expand({heads, tokens});
    slots = slots.to(call.q.device());
    const auto rows_at = [&](const at::Tensor& index) { return index.unsqueeze(2).expand({heads, index.size(1), width}); };
    at::Tensor chosen = slots.slice(1, 0, tokens, stride_);                                          // (H,R)
    const std::int64_t groups = chosen.size(1), tail = tail_ ? std::min(tokens % stride_ + std::max<std::int64_t>(128, stride_), tokens) : 0;
    if (tail > 0) chosen = at::cat({chosen, slots.narrow(1, tokens - tail, tail)}, 1);               // (H,R+tail)
    const at::Tensor q = one.q[0].gather(1, rows_at(chosen)).to(at::kFloat);                         // (H,R,D)
    at::Tensor logits = at::matmul(q, call.k[batch].to(at::kFloat).transpose(1, 2)) * call.scale;    // (H,R,T)
    if (call.key_mask.defined())
      logits.masked_fill_(call.key_mask[batch].logical_not(), -std::numeric_limits<double>::infinity());
    const at::Tensor full = at::matmul(at::softmax(logits, 2), call.v[batch].to(at::kFloat));        // (H,R,D)
    at::Tensor sparse = out[0];                                                                      // (H,S,D)
    if (!rows_only_) {
      const at::Tensor of_group = chosen.narrow(1, 0, groups);
      const at::Tensor delta = full.narrow(1, 0, groups) - sparse.gather(1, rows_at(of_group)).to(at::kFloat);  // (H,R,D)
      const at::Tensor moved = sparse.gather(1, rows_at(slots)).to(at::kFloat) +
                               delta.repeat_interleave(stride_, 1).narrow(1, 0, tokens);             // (H,T,D)
      sparse.scatter_(1, rows_at(slots), moved.to(sparse.scalar_type()));
    }
    if (rows_only_ || tail > 0) sparse.scatter_(1, rows_at(chosen), full.to(sparse.scalar_type()));
  }

 private:
  std::int64_t stride_;
  bool rows_only_, tail_;
};

}  // namespace

std::unique_ptr<Correction> make_delta(const ParameterValues& parameters) {
  return std::make_unique<Delta>(std::get<std::int64_t>(parameters.at("delta_stride")),
                                 std::get<bool>(parameters.at("delta_rows_only")), std::get<bool>(parameters.at("delta_tail")));
}

}  // namespace ditscope
