#include "core/text/t5_encoder.h"

#include <ATen/ATen.h>

#include <cmath>
#include <limits>
#include <nlohmann/json.hpp>
#include <numbers>

#include "core/checkpoint/json_file.h"
#include "kernels/error.h"

namespace ditscope {
namespace {

using nlohmann::json;

/// x / rms(x) * weight; the variance in float32, the result in the weight's dtype where that is a half one.
at::Tensor rms_norm(const at::Tensor& x, const at::Tensor& weight, double epsilon) {
  const auto variance = x.to(at::kFloat).pow(2).mean({-1}, /*keepdim=*/true);  // (B,T,1)
  auto normed = x * at::rsqrt(variance + epsilon);
  if (weight.scalar_type() == at::kHalf || weight.scalar_type() == at::kBFloat16) normed = normed.to(weight.scalar_type());
  return weight * normed;  // (B,T,C)
}

/// float16 overflows to infinity in large T5s; transformers clamps after every sub-layer.
at::Tensor clamp_half(const at::Tensor& x) {
  if (x.scalar_type() != at::kHalf) return x;
  constexpr double kLargest = 65504.0;
  const double limit = at::isinf(x).any().item<bool>() ? kLargest - 1000.0 : kLargest;
  return at::clamp(x, -limit, limit);
}

/// Bucket of every relative position j - i: half of them per sign, half of those exact, the rest logarithmic. (T,T)
at::Tensor position_buckets(std::int64_t tokens, std::int64_t buckets, std::int64_t max_distance) {
  const auto positions = at::arange(tokens, at::kLong);
  const auto relative = positions.unsqueeze(0) - positions.unsqueeze(1);  // (T,T)
  const auto per_sign = buckets / 2;
  const auto exact = per_sign / 2;
  const auto distance = relative.abs();
  auto logarithmic = exact + (at::log(distance.to(at::kFloat) / exact) / std::log(static_cast<double>(max_distance) / exact) *
                              (per_sign - exact))
                                 .clamp_min(0)  // log(0) at distance 0, which takes the exact bucket
                                 .to(at::kLong);
  logarithmic = at::clamp_max(logarithmic, per_sign - 1);
  return (relative > 0).to(at::kLong) * per_sign + at::where(distance < exact, distance, logarithmic);
}

std::int64_t integer(const json& config, const char* key, std::int64_t standard, std::int64_t largest, const std::string& name) {
  const auto found = config.find(key);
  if (found == config.end()) return standard;
  if (!found->is_number_integer() ||
      (found->is_number_unsigned() && found->get<std::uint64_t>() > static_cast<std::uint64_t>(largest)) ||
      found->get<std::int64_t>() < 1) {
    throw Error(ErrorKind::Corrupt, name + ": expected " + key + " to be a whole number from 1 to " + std::to_string(largest) +
                                        ", got " + found->dump().substr(0, 40) + "; fetch the config again");
  }
  return found->get<std::int64_t>();
}

std::string text(const json& config, const char* key, const std::string& standard, const std::string& name) {
  const auto found = config.find(key);
  if (found == config.end()) return standard;
  if (!found->is_string()) {
    throw Error(ErrorKind::Corrupt, name + ": expected " + key + " to be text, got " + found->dump().substr(0, 40));
  }
  return found->get<std::string>();
}

struct FeedForward {
  bool gated;
  std::string activation;
};

FeedForward parse_feed_forward(const std::string& projection) {
  const bool gated = projection.starts_with("gated-");
  auto activation = gated ? projection.substr(6) : projection;
  if (projection == "gated-gelu") activation = "gelu_new";  // T5 v1.1 says gelu and means the tanh form
  for (const char* known : {"relu", "gelu", "gelu_new", "silu"}) {
    if (activation == known) return {gated, activation};
  }
  throw Error(ErrorKind::Unsupported,
              "expected a T5 feed_forward_proj of relu, gated-gelu, gelu, gelu_new, silu or a gated one, got \"" +
                  projection.substr(0, 80) + "\"; choose another text encoder");
}

}  // namespace

T5Config T5Config::from_json(const std::string& config_text, const std::string& name) {
  const auto config = parse_json(config_text, name);
  if (!config.is_object()) throw Error(ErrorKind::Corrupt, name + ": expected a JSON object; fetch the config again");
  const auto type = text(config, "model_type", "t5", name);
  if (type != "t5" && type != "mt5" && type != "umt5") {
    throw Error(ErrorKind::Unsupported,
                name + ": expected a T5 text encoder (model_type t5, mt5 or umt5), got \"" + type.substr(0, 80) + "\"");
  }
  constexpr std::int64_t kWide = 1 << 20;
  T5Config c;
  c.vocab_size = integer(config, "vocab_size", c.vocab_size, 1 << 24, name);
  c.d_model = integer(config, "d_model", c.d_model, kWide, name);
  c.d_kv = integer(config, "d_kv", c.d_kv, kWide, name);
  c.d_ff = integer(config, "d_ff", c.d_ff, kWide, name);
  c.num_layers = integer(config, "num_layers", c.num_layers, 1000, name);
  c.num_heads = integer(config, "num_heads", c.num_heads, 1 << 12, name);
  c.relative_attention_num_buckets =
      integer(config, "relative_attention_num_buckets", c.relative_attention_num_buckets, kWide, name);
  c.relative_attention_max_distance =
      integer(config, "relative_attention_max_distance", c.relative_attention_max_distance, kWide, name);
  c.feed_forward_proj = text(config, "feed_forward_proj", c.feed_forward_proj, name);
  c.bias_in_every_block = type == "umt5";
  if (const auto epsilon = config.find("layer_norm_epsilon"); epsilon != config.end()) {
    if (!epsilon->is_number() || !(epsilon->get<double>() > 0 && epsilon->get<double>() < 1)) {
      throw Error(ErrorKind::Corrupt,
                  name + ": expected layer_norm_epsilon between 0 and 1, got " + epsilon->dump().substr(0, 40));
    }
    c.layer_norm_epsilon = epsilon->get<double>();
  }
  const auto exact = c.relative_attention_num_buckets / 4;
  if (exact < 1 || c.relative_attention_max_distance <= exact) {
    throw Error(ErrorKind::Corrupt,
                name +
                    ": expected relative_attention_num_buckets >= 4 and a relative_attention_max_distance above a "
                    "quarter of it, got " +
                    std::to_string(c.relative_attention_num_buckets) + " and " +
                    std::to_string(c.relative_attention_max_distance));
  }
  parse_feed_forward(c.feed_forward_proj);
  return c;
}

std::string T5Config::to_json() const {
  const auto form = parse_feed_forward(feed_forward_proj);
  json config = {{"architectures", {bias_in_every_block ? "UMT5EncoderModel" : "T5EncoderModel"}},
                 {"model_type", bias_in_every_block ? "umt5" : "t5"},
                 {"vocab_size", vocab_size},
                 {"d_model", d_model},
                 {"d_kv", d_kv},
                 {"d_ff", d_ff},
                 {"num_layers", num_layers},
                 {"num_decoder_layers", num_layers},
                 {"num_heads", num_heads},
                 {"relative_attention_num_buckets", relative_attention_num_buckets},
                 {"relative_attention_max_distance", relative_attention_max_distance},
                 {"layer_norm_epsilon", layer_norm_epsilon},
                 {"feed_forward_proj", feed_forward_proj},
                 {"dense_act_fn", form.activation},
                 {"is_gated_act", form.gated},
                 {"dropout_rate", 0.1},
                 {"is_encoder_decoder", false},
                 {"use_cache", false},
                 {"pad_token_id", 0},
                 {"eos_token_id", 1}};
  return config.dump(2) + "\n";
}

WeightOptions T5Encoder::weight_options(std::optional<c10::ScalarType> dtype, c10::Device device) {
  WeightOptions options;
  options.dtype = dtype;
  options.device = device;
  if (dtype == at::kHalf) options.float32_parts = {"wo"};
  options.ignorable = {"decoder.", "lm_head.weight"};
  return options;
}

T5Encoder::T5Encoder(const T5Config& config, WeightSource& weights) : config_(config) {
  const auto form = parse_feed_forward(config.feed_forward_proj);
  gated_ = form.gated;
  activation_ = form.activation;
  const bool alias = weights.has("encoder.embed_tokens.weight");
  const bool shared = weights.has("shared.weight") || !alias;
  embedding_ = weights.take(shared ? "shared.weight" : "encoder.embed_tokens.weight", {config.vocab_size, config.d_model});
  if (shared && alias)
    weights.take("encoder.embed_tokens.weight", {config.vocab_size, config.d_model});  // the same table, stored twice
  const auto encoder = WeightScope(weights) / "encoder";
  for (std::int64_t i = 0; i < config.num_layers; ++i) blocks_.push_back(take_block(i, encoder / "block" / std::to_string(i)));
  final_norm_ = encoder.take("final_layer_norm.weight", {config.d_model});
}

T5Encoder::Block T5Encoder::take_block(std::int64_t index, const WeightScope& weights) const {
  const auto inner = config_.num_heads * config_.d_kv;
  const auto first = weights / "layer" / "0";
  const auto attention = first / "SelfAttention";
  Block block;
  block.q = attention.take("q.weight", {inner, config_.d_model});
  block.k = attention.take("k.weight", {inner, config_.d_model});
  block.v = attention.take("v.weight", {inner, config_.d_model});
  block.o = attention.take("o.weight", {config_.d_model, inner});
  if (index == 0 || config_.bias_in_every_block) {
    block.position_bias =
        attention.take("relative_attention_bias.weight", {config_.relative_attention_num_buckets, config_.num_heads});
  }
  block.attention_norm = first.take("layer_norm.weight", {config_.d_model});
  const auto second = weights / "layer" / "1";
  const auto dense = second / "DenseReluDense";
  block.wi = dense.take(gated_ ? "wi_0.weight" : "wi.weight", {config_.d_ff, config_.d_model});
  if (gated_) block.wi_linear = dense.take("wi_1.weight", {config_.d_ff, config_.d_model});
  block.wo = dense.take("wo.weight", {config_.d_model, config_.d_ff});
  if (block.wo.scalar_type() == at::kHalf) block.wo = block.wo.to(at::kFloat);
  block.feed_forward_norm = second.take("layer_norm.weight", {config_.d_model});
  return block;
}

at::Tensor T5Encoder::attention_bias(const at::Tensor& table, std::int64_t tokens, const std::optional<at::Tensor>& mask) const {
  const auto buckets = position_buckets(tokens, config_.relative_attention_num_buckets, config_.relative_attention_max_distance)
                           .to(table.device());
  auto bias = at::embedding(table, buckets).permute({2, 0, 1}).unsqueeze(0);  // (1,H,T,T)
  if (!mask) return bias;
  const auto hidden = mask->to(table.device()).eq(0).unsqueeze(1).unsqueeze(1);  // (B,1,1,T)
  const double lowest =
      bias.scalar_type() == at::kHalf ? -65504.0 : static_cast<double>(std::numeric_limits<float>::lowest()) * 0.99;
  return bias.masked_fill(hidden, lowest);  // (B,H,T,T)
}

at::Tensor T5Encoder::attend(const Block& block, const at::Tensor& x, const at::Tensor& bias) const {
  const auto heads = [&](const at::Tensor& y) {
    return y.view({y.size(0), y.size(1), config_.num_heads, config_.d_kv}).transpose(1, 2);  // (B,H,T,D)
  };
  const auto normed = rms_norm(x, block.attention_norm, config_.layer_norm_epsilon);
  const auto q = heads(at::linear(normed, block.q));
  const auto k = heads(at::linear(normed, block.k));
  const auto v = heads(at::linear(normed, block.v));
  const auto weights = at::softmax(at::matmul(q, k.transpose(2, 3)) + bias, -1);                // (B,H,T,T)
  const auto out = at::matmul(weights, v).transpose(1, 2).reshape({x.size(0), x.size(1), -1});  // (B,T,H*D)
  return at::linear(out, block.o);
}

at::Tensor T5Encoder::activate(const at::Tensor& x) const {
  if (activation_ == "relu") return at::relu(x);
  if (activation_ == "silu") return at::silu(x);
  if (activation_ == "gelu_new" && (x.scalar_type() == at::kBFloat16 || x.scalar_type() == at::kHalf)) {
    // transformers rounds after each of these operations; a fused one differs by 1 % of a bfloat16 embedding.
    return 0.5 * x * (1.0 + at::tanh(std::sqrt(2.0 / std::numbers::pi) * (x + 0.044715 * at::pow(x, 3.0))));
  }
  return at::gelu(x, activation_ == "gelu_new" ? "tanh" : "none");
}

at::Tensor T5Encoder::feed_forward(const Block& block, const at::Tensor& x) const {
  const auto normed = rms_norm(x, block.feed_forward_norm, config_.layer_norm_epsilon);
  auto inner = activate(at::linear(normed, block.wi));  // (B,T,d_ff)
  if (gated_) inner = inner * at::linear(normed, block.wi_linear);
  return at::linear(inner.to(block.wo.scalar_type()), block.wo);
}

at::Tensor T5Encoder::forward(const at::Tensor& ids, const std::optional<at::Tensor>& mask,
                              const std::function<void()>& before_layer) const {
  if (ids.dim() != 2 || ids.scalar_type() != at::kLong || ids.numel() == 0) {
    throw Error(ErrorKind::InvalidArgument, "expected token ids of shape (B,T) and type int64, at least one of them");
  }
  if (mask && mask->sizes() != ids.sizes()) {
    throw Error(ErrorKind::InvalidArgument, "expected a text mask of the same shape (B,T) as the token ids");
  }
  if (ids.is_cpu()) {
    const auto lowest = ids.min().item<std::int64_t>(), highest = ids.max().item<std::int64_t>();
    if (lowest < 0 || highest >= config_.vocab_size) {
      throw Error(ErrorKind::InvalidArgument, "expected token ids from 0 to " + std::to_string(config_.vocab_size - 1) +
                                                  ", got " + std::to_string(lowest < 0 ? lowest : highest) +
                                                  "; the tokenizer does not belong to this text encoder");
    }
  }
  auto x = at::embedding(embedding_, ids.to(device()));  // (B,T,C)
  at::Tensor bias;
  for (const auto& block : blocks_) {
    if (before_layer) before_layer();
    if (block.position_bias.defined()) bias = attention_bias(block.position_bias, ids.size(1), mask);
    x = clamp_half(x + attend(block, x, bias));
    x = clamp_half(x + feed_forward(block, x));
  }
  return rms_norm(x, final_norm_, config_.layer_norm_epsilon);
}

}  // namespace ditscope
