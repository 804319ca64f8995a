#pragma once
#include <ATen/core/Tensor.h>

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "core/checkpoint/checkpoint.h"
#include "core/checkpoint/weight_source.h"

namespace ditscope {

/// config.json of a T5EncoderModel (T5, T5 v1.1, mT5) or UMT5EncoderModel.
struct T5Config {
  std::int64_t vocab_size = 32128;
  std::int64_t d_model = 512;
  std::int64_t d_kv = 64;   ///< width of one head; heads * d_kv need not be d_model
  std::int64_t d_ff = 2048;
  std::int64_t num_layers = 6;
  std::int64_t num_heads = 8;
  std::int64_t relative_attention_num_buckets = 32;
  std::int64_t relative_attention_max_distance = 128;
  double layer_norm_epsilon = 1e-6;
  std::string feed_forward_proj = "relu";  ///< "relu" (T5), "gated-gelu" (v1.1); also "gelu", "silu", "gated-silu", "gelu_new"
  bool bias_in_every_block = false;        ///< UMT5: a table of position biases per block, not one for all

  /// @throws Error{Corrupt} for values that cannot be, Error{Unsupported} for another model_type or feed-forward
  static T5Config from_json(const std::string& text, const std::string& name = "config.json");
  /// As transformers reads it.
  std::string to_json() const;
};

/// The encoder stack of T5: text tokens to a text embedding.
///
/// x += o(softmax(q k^T + bias[bucket(j - i)]) v) on RMS-normed x, no 1/sqrt(d); x += wo(act(wi x)) on RMS-normed x; RMS norm.
/// Norms take their variance in float32; in float16 `wo` stays float32 and infinities are clamped, as transformers does.
/// Differentiable: no in-place operation on weights or activations.
/// @see Raffel et al. 2020, arXiv:1910.10683; transformers T5EncoderModel
class T5Encoder {
 public:
  /// Takes `shared.weight` (or `encoder.embed_tokens.weight`) and `encoder.*`. @throws as WeightSource::take
  T5Encoder(const T5Config& config, WeightSource& weights);

  /// @param ids   (B,T) int64
  /// @param mask  (B,T) 1 for tokens to attend to, 0 for padding; without it padding is attended to (as CogVideoX does)
  /// @return (B,T,C) in the dtype of the weights
  /// @throws Error{InvalidArgument} for another shape or an id outside the vocabulary
  /// @param before_layer  called before every layer; what it throws ends the call (a stop)
  at::Tensor forward(const at::Tensor& ids, const std::optional<at::Tensor>& mask = std::nullopt,
                     const std::function<void()>& before_layer = {}) const;

  const T5Config& config() const { return config_; }
  c10::ScalarType dtype() const { return embedding_.scalar_type(); }
  c10::Device device() const { return embedding_.device(); }

  /// Options for the weights of this class: dtype with its float32 exceptions, and what full T5 checkpoints have beyond the encoder.
  static WeightOptions weight_options(std::optional<c10::ScalarType> dtype, c10::Device device = c10::kCPU);

 private:
  struct Block {
    at::Tensor attention_norm;  // (C)
    at::Tensor q, k, v;         // (H*D,C)
    at::Tensor o;               // (C,H*D)
    at::Tensor position_bias;   // (buckets,H), undefined where block 0's is shared
    at::Tensor feed_forward_norm;
    at::Tensor wi, wi_linear;  // (d_ff,C); wi_linear undefined without a gate
    at::Tensor wo;             // (C,d_ff)
  };
  Block take_block(std::int64_t index, const WeightScope& weights) const;
  at::Tensor attend(const Block& block, const at::Tensor& x, const at::Tensor& bias) const;
  at::Tensor feed_forward(const Block& block, const at::Tensor& x) const;
  at::Tensor activate(const at::Tensor& x) const;
  at::Tensor attention_bias(const at::Tensor& table, std::int64_t tokens, const std::optional<at::Tensor>& mask) const;

  T5Config config_;
  bool gated_ = false;
  std::string activation_;
  at::Tensor embedding_;  // (V,C)
  std::vector<Block> blocks_;
  at::Tensor final_norm_;  // (C)
};

}  // namespace ditscope
