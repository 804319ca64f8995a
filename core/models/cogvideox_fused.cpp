// A block of CogVideoX's transformer on a CPU: matrix products by oneDNN, attention by a method, and everything between two of
// these in one pass over the tokens.
#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <c10/core/GradMode.h>

#include <algorithm>

#include "core/bridge/profile.h"
#include "core/models/cogvideox_blocks.h"
#include "core/models/token_rows.h"

namespace ditscope {
namespace {

using Kind = Profile::Kind;
constexpr std::int64_t kGrainValues = 16384;  // what is worth a thread

/// What a time embedding makes of one norm, for each sample (or one for all of them) and stream: video, then text. Gain and offset hold
/// the norm's own weights too.
struct Modulation {
  at::Tensor gain, offset, gate;  // (B or 1,2,C) float32
  float eps = 1e-5f;

  Modulation() = default;
  Modulation(const ExpertNorm& norm, const at::Tensor& time) : eps(static_cast<float>(norm.norm.eps)) {
    const at::Tensor all = norm.linear(time).to(at::kFloat).view({-1, 2, 3, norm.norm.width});
    gain = all.select(2, 1) + 1;
    offset = all.select(2, 0);
    if (norm.norm.weight.defined()) {
      offset = offset + gain * norm.norm.bias.to(at::kFloat);
      gain = gain * norm.norm.weight.to(at::kFloat);
    }
    gain = gain.contiguous();
    offset = offset.contiguous();
    gate = all.select(2, 2).contiguous();
  }
  /// gate * y, float32.
  at::Tensor gated(const at::Tensor& y, std::int64_t text_tokens) const {
    return at::cat({y.narrow(1, 0, text_tokens) * gate.narrow(1, 1, 1),
                    y.narrow(1, text_tokens, y.size(1) - text_tokens) * gate.narrow(1, 0, 1)}, 1);  // (B,T,C)
  }
  const float* of(const at::Tensor& values, std::int64_t sample, int stream) const {
    return values.const_data_ptr<float>() + (std::min(sample, values.size(0) - 1) * 2 + stream) * values.size(2);
  }
};

/// Calls work(first row, rows, sample, stream) for spans of rows of (B,T) that share a sample and a stream, over all threads.
template <typename Work>
void for_spans(std::int64_t batch, std::int64_t tokens, std::int64_t text_tokens, std::int64_t width, const Work& work) {
  const std::int64_t grain = std::max<std::int64_t>(1, kGrainValues / width);
  at::parallel_for(0, batch * tokens, grain, [&](std::int64_t begin, std::int64_t end) {
    while (begin < end) {
      const std::int64_t sample = begin / tokens, token = begin % tokens;
      const bool is_text = token < text_tokens;
      const std::int64_t last = std::min(end, sample * tokens + (is_text ? text_tokens : tokens));
      work(begin, last - begin, sample, is_text ? 1 : 0);
      begin = last;
    }
  });
}

template <typename Bits>
Bits* bits(const at::Tensor& tensor) {
  return tensor.defined() ? static_cast<Bits*>(tensor.data_ptr()) : nullptr;
}

/// stream += gate * y, where `y` is defined; then what `norm` makes of it, in the type of `like`.
template <typename Bits>
at::Tensor add_and_norm(at::Tensor& stream, const at::Tensor& y, const Modulation& gates, const Modulation* norm,
                        std::int64_t text_tokens, c10::ScalarType type) {
  const Profile::Stretch stretch(Kind::Elementwise, "residual, norm, modulation");
  const std::int64_t batch = stream.size(0), tokens = stream.size(1), width = stream.size(2);
  const at::Tensor out = norm ? at::empty(stream.sizes(), stream.options().dtype(type)) : at::Tensor();  // (B,T,C)
  float* const x = stream.data_ptr<float>();
  const Bits* const added = bits<Bits>(y);
  Bits* const normed = bits<Bits>(out);
  for_spans(batch, tokens, text_tokens, width, [&](std::int64_t first, std::int64_t rows, std::int64_t sample, int kind) {
    const RowNorm row_norm = norm ? RowNorm{norm->of(norm->gain, sample, kind), norm->of(norm->offset, sample, kind), norm->eps} : RowNorm{};
    residual_norm(x + first * width, added ? added + first * width : nullptr, added ? gates.of(gates.gate, sample, kind) : nullptr,
                  row_norm, normed ? normed + first * width : nullptr, rows, width);
  });
  return out;
}

/// The weights of a layer norm as float32, ones and zeros where it has none.
struct PlainNorm {
  at::Tensor gain, offset;  // (C)
  float eps;
  explicit PlainNorm(const LayerNorm& norm)
      : gain(norm.weight.defined() ? norm.weight.to(at::kFloat).contiguous() : at::ones({norm.width}, at::kFloat)),
        offset(norm.bias.defined() ? norm.bias.to(at::kFloat).contiguous() : at::zeros({norm.width}, at::kFloat)),
        eps(static_cast<float>(norm.eps)) {}
  RowNorm row() const { return {gain.const_data_ptr<float>(), offset.const_data_ptr<float>(), eps}; }
};

/// Puts the heads of (B,T,3C) apart, norms and turns queries and keys. New tensors each time: a method may keep them.
template <typename Bits>
void split_into(LayerCall& call, const at::Tensor& qkv, const CogVideoXBlock& b, const BlockInputs& in) {
  const Profile::Stretch stretch(Kind::Elementwise, "heads: norm, positions");
  const std::int64_t batch = qkv.size(0), tokens = qkv.size(1), width = qkv.size(2) / 3, head_dim = width / in.heads;
  const PlainNorm query(b.norm_q), key(b.norm_k);
  for (at::Tensor* tensor : {&call.q, &call.k, &call.v}) *tensor = at::empty({batch, in.heads, tokens, head_dim}, qkv.options());
  HeadSplit split{in.heads, head_dim, tokens * head_dim, query.row(), key.row(), nullptr};
  const float* rotary = in.rotary.defined() ? static_cast<const float*>(in.rotary.const_data_ptr()) : nullptr;
  const Bits* const from = bits<Bits>(qkv);
  Bits *const q = bits<Bits>(call.q), *const k = bits<Bits>(call.k), *const v = bits<Bits>(call.v);
  for_spans(batch, tokens, 0, 3 * width, [&](std::int64_t first, std::int64_t rows, std::int64_t sample, int) {
    const std::int64_t token = first % tokens, at = sample * tokens * width + token * head_dim;
    HeadSplit here = split;
    if (rotary) here.rotary = rotary + token * head_dim;
    split_heads(from + first * 3 * width, here, q + at, k + at, v + at, rows);
  });
}

/// A product under its name in the profile.
at::Tensor product(const char* name, const Linear& layer, const at::Tensor& x) {
  const Profile::Stretch stretch(Kind::Gemm, name, layer.flop(x.numel() / x.size(-1)));
  return layer(x);
}

template <typename Bits>
at::Tensor fused(const std::vector<CogVideoXBlock>& blocks, at::Tensor stream, const BlockInputs& in, LayerCall& call,
                 Attention& attention) {
  const c10::ScalarType type = blocks.front().qkv.weight.scalar_type();
  // Both guidance branches come with the same time: what it makes of the norms is then computed once.
  const at::Tensor time = at::equal(in.time, in.time.narrow(0, 0, 1).expand_as(in.time)) ? in.time.narrow(0, 0, 1) : in.time;
  at::Tensor y;       // (B,T,C), not yet added to the stream
  Modulation before;  // whose gate y goes through
  BlockPass pass = in.pass;
  pass.modulated = [&] {
    const Modulation first(blocks[0].norm1, time);
    return add_and_norm<float>(stream, {}, {}, &first, in.text_tokens, at::kFloat);
  };
  pass.projected = [&] { return blocks[0].norm1.linear(in.time); };
  const int count = static_cast<int>(blocks.size());
  for (int i = 0; i < count; ++i) {
    in.before_block(i);
    if (in.cache) {
      if (y.defined()) add_and_norm<Bits>(stream, y, before, nullptr, in.text_tokens, type);
      y.reset();
      i = in.cache->enter(pass, i, stream);
      stream = stream.to(at::kFloat).contiguous();
    }
    if (i >= count) break;
    const CogVideoXBlock& b = blocks[static_cast<std::size_t>(i)];
    Profile::enter_layer(i);
    Modulation first, second;
    {
      const Profile::Stretch stretch(Kind::Gemm, "adaLN", b.norm1.linear.flop(time.size(0)) + b.norm2.linear.flop(time.size(0)));
      first = Modulation(b.norm1, time);
      second = Modulation(b.norm2, time);
    }
    const at::Tensor normed = add_and_norm<Bits>(stream, y, before, &first, in.text_tokens, type);  // (B,T,C)
    split_into<Bits>(call, product("q, k and v", b.qkv, normed), b, in);
    call.layer = i;
    at::Tensor attended;  // (B,T,C)
    {
      const Profile::Stretch stretch(Kind::Attention, "attention",
                                     4.0 * static_cast<double>(call.q.numel()) * static_cast<double>(call.q.size(2)));
      attended = attention.attend(call).transpose(1, 2).flatten(2);
    }
    y = product("out", b.to_out, attended);
    if (in.cache && in.cache->watches_attention(pass, i)) in.cache->attended(pass, i, first.gated(y, in.text_tokens));
    const at::Tensor normed_2 = add_and_norm<Bits>(stream, y, first, &second, in.text_tokens, type);
    at::Tensor hidden;  // (B,T,4C)
    {
      const Profile::Stretch stretch(Kind::Gemm, "expand and GELU", b.expand.flop(normed_2.size(0) * normed_2.size(1)));
      hidden = b.expand.activated(normed_2, in.activation);
    }
    y = product("contract", b.contract, hidden);
    before = second;
  }
  if (y.defined()) add_and_norm<Bits>(stream, y, before, nullptr, in.text_tokens, type);
  if (in.cache) in.cache->leave(pass, stream);
  Profile::enter_layer(-1);
  return stream;
}

}  // namespace

bool can_fuse_blocks(const std::vector<CogVideoXBlock>& blocks, const CogVideoXConfig& config, const at::Tensor& x) {
  if (blocks.empty() || !blocks.front().qkv.weight.defined() || c10::GradMode::is_enabled() || !x.is_cpu()) return false;
  const c10::ScalarType type = blocks.front().qkv.weight.scalar_type();
  return (type == at::kFloat || type == at::kBFloat16) && config.attention_head_dim % 2 == 0 && config.attention_head_dim <= kWidestHead;
}

at::Tensor fused_blocks(const std::vector<CogVideoXBlock>& blocks, const at::Tensor& x, const BlockInputs& inputs, LayerCall& call,
                        Attention& attention) {
  const at::Tensor stream = x.to(at::kFloat).contiguous();  // (B,T,C)
  return blocks.front().qkv.weight.scalar_type() == at::kFloat ? fused<float>(blocks, stream, inputs, call, attention)
                                                              : fused<std::uint16_t>(blocks, stream, inputs, call, attention);
}

}  // namespace ditscope
