#pragma once
#include <ATen/ATen.h>
#include <ATen/Parallel.h>

#include <cmath>
#include <vector>

#include "core/attention/layer_call.h"

namespace ditscope::test {

/// The tensors here are small: waking threads would cost more than they do. The test of threads asks for them itself.
inline const bool kOneThread = (at::set_num_threads(1), true);

/// A video of a few frames, with text first: frame-major as models lay it out.
inline TokenLayout small_video() {
  TokenLayout layout;
  layout.text_tokens = 11;
  layout.frames = 4;
  layout.rows = 5;
  layout.columns = 6;
  return layout;
}

/// Random q, k, v that differ from step to step as little as a denoiser's do.
inline LayerCall make_call(const TokenLayout& layout, int step, int steps, std::uint64_t seed = 1, std::int64_t batch = 2,
                           std::int64_t heads = 3, std::int64_t width = 16, at::ScalarType type = at::kFloat) {
  at::Generator fixed = at::detail::createCPUGenerator(seed),
                moving = at::detail::createCPUGenerator(seed * 1000 + 7 + static_cast<std::uint64_t>(step));
  const std::vector<std::int64_t> shape{batch, heads, layout.tokens(), width};
  const auto draw = [&] { return (at::randn(shape, fixed, at::kDouble) + 0.2 * at::randn(shape, moving, at::kDouble)).to(type); };
  LayerCall call;
  call.q = draw();
  call.k = draw();
  call.v = draw();
  call.scale = 1 / std::sqrt(static_cast<double>(width));
  call.layout = layout;
  call.step = step;
  call.steps = steps;
  for (std::int64_t b = 0; b < batch; ++b)
    call.branches.push_back(b * 2 < batch && batch > 1 ? Branch::Unconditional : Branch::Conditional);
  return call;
}

/// Index of each position-major token in the frame-major sequence.
inline at::Tensor position_major_order(const TokenLayout& layout) {
  std::vector<std::int64_t> order;
  for (std::int64_t i = 0; i < layout.tokens(); ++i) {
    const std::int64_t visual = i - layout.visual_begin();
    if (visual < 0 || visual >= layout.visual_tokens())
      order.push_back(i);
    else
      order.push_back(layout.visual_begin() + visual % layout.frames * layout.sites() + visual / layout.frames);
  }
  return at::tensor(order, at::kLong);
}

/// The same call with its visual tokens position-major.
inline LayerCall position_major(LayerCall call) {
  const at::Tensor order = position_major_order(call.layout);
  for (at::Tensor* tensor : {&call.q, &call.k, &call.v}) *tensor = tensor->index_select(2, order);
  call.layout.order = TokenOrder::PositionMajor;
  return call;
}

/// Rows of a position-major output back in frame-major order.
inline at::Tensor frame_major(const at::Tensor& out, const TokenLayout& layout) {
  return out.index_select(2, position_major_order(layout).argsort());
}

/// The window as the specification writes it, frame-major, (T,T) bool: an independent transcription.
inline at::Tensor specified_window(const TokenLayout& layout, double kept_ratio) {
  const std::int64_t tokens = layout.tokens(), text = layout.text_tokens, sites = layout.rows * layout.columns;
  const std::int64_t w = static_cast<std::int64_t>(static_cast<double>(sites) * kept_ratio), h = w / 2;
  at::Tensor keep = at::zeros({tokens, tokens}, at::kBool);
  auto at = keep.accessor<bool, 2>();
  for (std::int64_t i = 0; i < tokens; ++i) {
    for (std::int64_t j = 0; j < tokens; ++j) {
      const bool text_i = layout.text_first ? i < text : i >= tokens - text,
                 text_j = layout.text_first ? j < text : j >= tokens - text;
      const std::int64_t si = (i - (layout.text_first ? text : 0)) % sites, sj = (j - (layout.text_first ? text : 0)) % sites;
      at[i][j] = text_i || text_j || std::abs(si - sj) <= h;
    }
  }
  return keep;
}

/// Softmax attention in float64 with an optional mask (T,T). @return out (B,H,T,D), log-sum-exp (B,H,T)
inline std::pair<at::Tensor, at::Tensor> exact_attention(const LayerCall& call, const at::Tensor& keep = {}) {
  const at::Tensor q = call.q.to(at::kDouble), k = call.k.to(at::kDouble), v = call.v.to(at::kDouble);
  at::Tensor logits = at::matmul(q, k.transpose(-1, -2)) * call.scale;
  if (keep.defined()) logits = logits.masked_fill(keep.logical_not(), -INFINITY);
  return {at::matmul(at::softmax(logits, -1), v), at::logsumexp(logits, -1)};
}

inline double max_difference(const at::Tensor& a, const at::Tensor& b) {
  return (a.to(at::kDouble) - b.to(at::kDouble)).abs().max().item<double>();
}

}  // namespace ditscope::test
