// A block of CogVideoX's transformer, operator by operator: what gradients flow through, and what runs on a GPU.
#include "core/models/cogvideox_blocks.h"

#include <ATen/ATen.h>

#include "core/models/positions.h"

namespace ditscope {
namespace {

constexpr double kQueryKeyNormEps = 1e-6;

/// One product instead of three: wider products run nearer to the peak, and the tokens are read once.
void join_qkv(CogVideoXBlock& b) {
  if (b.to_q.weight.requires_grad()) return;  // trained in place, each by itself
  b.qkv.weight = at::cat({b.to_q.weight, b.to_k.weight, b.to_v.weight});                      // (3C,C)
  if (b.to_q.bias.defined()) b.qkv.bias = at::cat({b.to_q.bias, b.to_k.bias, b.to_v.bias});  // (3C)
  b.to_q = b.to_k = b.to_v = {};
}

/// Shift, scale and gate of one stream at one norm, all (B,1,C); scale already has its one added.
struct Modulation {
  at::Tensor shift, scale, gate;
};

/// The six chunks of an expert norm: video shift, scale, gate, then the text's.
std::pair<Modulation, Modulation> modulations(const ExpertNorm& norm, const at::Tensor& time) {
  const auto c = norm.linear(time).unsqueeze(1).chunk(6, -1);  // 6 x (B,1,C)
  return {Modulation{c[3], c[4] + 1, c[5]}, Modulation{c[0], c[1] + 1, c[2]}};
}

/// Normalises all tokens at once and modulates the first `text_tokens` apart from the others.
at::Tensor modulate(const LayerNorm& norm, const at::Tensor& x, const Modulation& text, const Modulation& video,
                    std::int64_t text_tokens) {
  at::Tensor y = norm(x);  // (B,T,C)
  at::Tensor y_text = y.narrow(1, 0, text_tokens), y_video = y.narrow(1, text_tokens, y.size(1) - text_tokens);
  if (!may_work_in_place()) {
    return at::cat({at::addcmul(text.shift, y_text, text.scale), at::addcmul(video.shift, y_video, video.scale)}, 1);
  }
  at::addcmul_out(y_text, text.shift, y_text, text.scale);
  at::addcmul_out(y_video, video.shift, y_video, video.scale);
  return y;  // (B,T,C)
}

/// x + gate * y, each stream with its own gate.
at::Tensor add_gated(at::Tensor x, const at::Tensor& y, const Modulation& text, const Modulation& video,
                     std::int64_t text_tokens) {
  const std::int64_t video_tokens = x.size(1) - text_tokens;
  at::Tensor x_text = x.narrow(1, 0, text_tokens), x_video = x.narrow(1, text_tokens, video_tokens);
  const at::Tensor y_text = y.narrow(1, 0, text_tokens), y_video = y.narrow(1, text_tokens, video_tokens);
  if (!may_work_in_place()) {
    return at::cat({at::addcmul(x_text, text.gate, y_text), at::addcmul(x_video, video.gate, y_video)}, 1);
  }
  x_text.addcmul_(text.gate, y_text);
  x_video.addcmul_(video.gate, y_video);
  return x;  // (B,T,C)
}

/// What add_gated() would add.
at::Tensor gated(const at::Tensor& y, const Modulation& text, const Modulation& video, std::int64_t text_tokens) {
  const std::int64_t video_tokens = y.size(1) - text_tokens;
  return at::cat({text.gate * y.narrow(1, 0, text_tokens), video.gate * y.narrow(1, text_tokens, video_tokens)}, 1);  // (B,T,C)
}

/// One block; `call` comes with all but q, k and v. Without gradients `x` is overwritten.
at::Tensor apply_block(const CogVideoXBlock& b, at::Tensor x, const BlockInputs& in, const BlockPass& pass, LayerCall& call,
                       Attention& attention) {
  const auto [text_1, video_1] = modulations(b.norm1, in.time);
  at::Tensor y = modulate(b.norm1.norm, x, text_1, video_1, in.text_tokens);
  const std::vector<at::Tensor> qkv = b.qkv.weight.defined() ? b.qkv(y).chunk(3, -1) : std::vector{b.to_q(y), b.to_k(y), b.to_v(y)};
  const auto split = [&](const at::Tensor& all) { return all.unflatten(-1, {in.heads, -1}).transpose(1, 2); };
  call.q = b.norm_q(split(qkv[0]));  // (B,H,T,D)
  call.k = b.norm_k(split(qkv[1]));  // (B,H,T,D)
  call.v = split(qkv[2]);            // (B,H,T,D)
  if (in.rotary.defined()) {
    call.q = rotate_pairs(call.q, in.rotary);
    call.k = rotate_pairs(call.k, in.rotary);
  }
  y = b.to_out(attention.attend(call).transpose(1, 2).flatten(2));  // (B,T,C)
  if (in.cache && in.cache->watches_attention(pass, call.layer))
    in.cache->attended(pass, call.layer, gated(y, text_1, video_1, in.text_tokens));
  x = add_gated(x, y, text_1, video_1, in.text_tokens);

  const auto [text_2, video_2] = modulations(b.norm2, in.time);
  y = modulate(b.norm2.norm, x, text_2, video_2, in.text_tokens);
  y = b.contract(b.expand.activated(y, in.activation));  // (B,T,C)
  return add_gated(x, y, text_2, video_2, in.text_tokens);
}

}  // namespace

CogVideoXBlock CogVideoXBlock::take(const WeightScope& scope, const CogVideoXConfig& c) {
  const std::int64_t d = c.inner_dim(), head = c.attention_head_dim;
  const auto expert_norm = [&](const char* name) {
    return ExpertNorm{Linear::take(scope / name / "linear", c.time_embed_dim, 6 * d),
                      LayerNorm::take(scope / name / "norm", d, c.norm_eps, c.norm_elementwise_affine)};
  };
  const WeightScope attention = scope / "attn1", feed_forward = scope / "ff" / "net";
  CogVideoXBlock b;
  b.norm1 = expert_norm("norm1");
  b.norm_q = LayerNorm::take(attention / "norm_q", head, kQueryKeyNormEps);
  b.norm_k = LayerNorm::take(attention / "norm_k", head, kQueryKeyNormEps);
  b.to_q = Linear::take(attention / "to_q", d, d, c.attention_bias);
  b.to_k = Linear::take(attention / "to_k", d, d, c.attention_bias);
  b.to_v = Linear::take(attention / "to_v", d, d, c.attention_bias);
  b.to_out = Linear::take(attention / "to_out" / "0", d, d);
  b.norm2 = expert_norm("norm2");
  b.expand = Linear::take(feed_forward / "0" / "proj", d, 4 * d);
  b.contract = Linear::take(feed_forward / "2", 4 * d, d);
  join_qkv(b);
  return b;
}

at::Tensor run_blocks(const std::vector<CogVideoXBlock>& blocks, at::Tensor x, const BlockInputs& inputs, LayerCall& call,
                      Attention& attention) {
  const int count = static_cast<int>(blocks.size());
  BlockPass pass = inputs.pass;
  pass.modulated = [&] {
    const auto [text, video] = modulations(blocks[0].norm1, inputs.time);
    return modulate(blocks[0].norm1.norm, x, text, video, inputs.text_tokens);
  };
  pass.projected = [&] { return blocks[0].norm1.linear(inputs.time); };
  for (int i = 0; i < count; ++i) {
    inputs.before_block(i);
    if (inputs.cache) i = inputs.cache->enter(pass, i, x);
    if (i >= count) break;
    call.layer = i;
    x = apply_block(blocks[static_cast<std::size_t>(i)], x, inputs, pass, call, attention);
  }
  if (inputs.cache) inputs.cache->leave(pass, x);
  return x;
}

}  // namespace ditscope
