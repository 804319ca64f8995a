#pragma once
#include <ATen/core/Tensor.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "core/attention/layer_call.h"
#include "core/checkpoint/weight_source.h"
#include "core/models/block_cache.h"

namespace ditscope {

/// The config.json of a diffusers CogVideoXTransformer3DModel; fields and defaults are those of diffusers 0.42.
struct CogVideoXConfig {
  int num_attention_heads = 30;
  int attention_head_dim = 64;
  int in_channels = 16;
  int out_channels = 16;
  bool flip_sin_to_cos = true;
  int freq_shift = 0;
  int time_embed_dim = 512;
  int text_embed_dim = 4096;
  int num_layers = 30;
  double dropout = 0;  ///< kept for the file; forward() never drops
  bool attention_bias = true;
  int sample_width = 90;   ///< latent columns
  int sample_height = 60;  ///< latent rows
  int sample_frames = 49;  ///< pixel frames
  int patch_size = 2;
  std::optional<int> patch_size_t;  ///< CogVideoX 1.5 only
  int temporal_compression_ratio = 4;
  int max_text_seq_length = 226;
  std::string activation_fn = "gelu-approximate";
  std::string timestep_activation_fn = "silu";
  bool norm_elementwise_affine = true;
  double norm_eps = 1e-5;
  double spatial_interpolation_scale = 1.875;
  double temporal_interpolation_scale = 1.0;
  bool use_rotary_positional_embeddings = false;
  bool patch_bias = true;

  /// "CogVideoX-2B", "CogVideoX-5B", "CogVideoX1.5-5B" by its shape, which names of folders do not change; empty: another one.
  std::string published_name() const;
  int inner_dim() const { return num_attention_heads * attention_head_dim; }
  /// Latent frames become a multiple of this.
  int frame_patch() const { return patch_size_t.value_or(1); }

  /// Unknown keys are ignored, missing ones take their defaults, as in diffusers.
  /// @throws Error{Corrupt} where the text is no JSON object or a value has the wrong type;
  ///         Error{Unsupported} naming a value that cannot be done (image-to-video, learned positions, other activations)
  static CogVideoXConfig from_json(const std::string& text);
  /// A config.json that diffusers loads.
  std::string to_json() const;
  /// @throws Error{Unsupported} naming the first value that cannot be done
  void check() const;
};

/// One evaluation of the transformer.
struct DenoiserCall {
  at::Tensor latents;            // (B,F,C,Y,X), any floating type
  at::Tensor timestep;           // (B) integer or float
  at::Tensor text;               // (B,T,C), any floating type; what it is projected to is kept while it is the same tensor
  std::vector<Branch> branches;  ///< (B), handed to the attention
  int step = 0, steps = 1;
  /// Called before each layer that may be computed; true stops the pass with Error{Cancelled}.
  std::function<bool(int layer, int layers)> on_layer;
  BlockCache* cache = nullptr;  ///< asked around the blocks; null: every block is computed
};

/// CogVideoX's expert transformer (Yang et al. 2024, arXiv:2408.06072): 2B (sincos positions), 5B (rotary), 1.5 (time patches),
/// number for number as diffusers' CogVideoXTransformer3DModel. Differentiable with respect to whatever the weight source hands
/// out with requires_grad; without gradients it works in place.
class CogVideoXTransformer {
 public:
  /// Takes every weight once, by its diffusers key.
  /// @throws Error{Unsupported} for a config that cannot be done; what the source throws
  CogVideoXTransformer(const CogVideoXConfig& config, WeightSource& weights);
  ~CogVideoXTransformer();
  CogVideoXTransformer(CogVideoXTransformer&&) noexcept;
  CogVideoXTransformer& operator=(CogVideoXTransformer&&) noexcept;

  /// Weights of the ends (patches, text, time, norms, output) share a dtype, the large ones of the blocks may have a narrower one.
  /// @return the model's prediction (B,F,C,Y,X), in the dtype of the ends
  /// @throws Error{InvalidArgument} naming the first shape that does not fit; Error{Cancelled}
  at::Tensor forward(const DenoiserCall& call, Attention& attention) const;

  const CogVideoXConfig& config() const;

 private:
  struct Weights;
  struct Cache;
  at::Tensor sincos(const TokenLayout& layout, const at::Tensor& like) const;  // (1,T,C), zero on text
  at::Tensor rotary(const TokenLayout& layout, c10::Device device) const;      // (T,D/2)
  at::Tensor projected_text(const at::Tensor& text) const;                     // (B,T,C)

  CogVideoXConfig config_;
  std::unique_ptr<Weights> weights_;
  std::unique_ptr<Cache> cache_;
};

}  // namespace ditscope
