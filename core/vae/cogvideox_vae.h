#pragma once
#include <ATen/core/Tensor.h>

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "core/checkpoint/weight_source.h"
#include "core/vae/layers.h"

namespace ditscope {

/// config.json of diffusers' AutoencoderKLCogVideoX; the defaults are those of CogVideoX-2B.
struct CogVideoXVaeConfig {
  int64_t in_channels = 3;
  int64_t out_channels = 3;
  std::vector<int64_t> block_out_channels{128, 256, 256, 512};  ///< encoder order; every block but the last halves rows and columns
  int64_t latent_channels = 16;
  int64_t layers_per_block = 3;  ///< residual blocks in an encoder block; a decoder block has one more
  std::string act_fn = "silu";
  double norm_eps = 1e-6;
  int64_t norm_num_groups = 32;
  int64_t temporal_compression_ratio = 4;
  int64_t sample_height = 480;  ///< px; tiles are half of it
  int64_t sample_width = 720;
  double scaling_factor = 1.15258426;
  std::optional<double> shift_factor;
  bool force_upcast = true;
  bool use_quant_conv = false;
  bool use_post_quant_conv = false;
  bool invert_scale_latents = false;  ///< image-conditioned pipelines read it

  /// @throws Error{Corrupt} where the text is no such config, Error{Unsupported} naming a value that cannot be done
  static CogVideoXVaeConfig from_json(const std::string& config_json);
  /// A config.json that diffusers loads.
  std::string to_json() const;
  /// @throws Error{Unsupported} naming the first value that cannot be done
  void check() const;

  int64_t spatial_compression() const { return int64_t{1} << (block_out_channels.size() - 1); }
};

namespace vae {

/// norm, SiLU, conv, norm, SiLU, conv, plus the input. The encoder has plain norms, the decoder spatial ones.
struct ResnetBlock {
  GroupNorm plain_norm1, plain_norm2;
  SpatialNorm spatial_norm1, spatial_norm2;
  CausalConv3d conv1, conv2;
  std::optional<Conv3d> conv_shortcut;  // where the width changes
  bool is_spatial = false;

  /// @param latent_channels  0: plain norms
  ResnetBlock(const WeightScope& weights, int64_t in_channels, int64_t out_channels, int64_t latent_channels, int64_t groups,
              double eps);
  at::Tensor operator()(const at::Tensor& x, const at::Tensor& zq, CausalCache& cache) const;
};

struct Encoder {
  struct Block {
    std::vector<ResnetBlock> resnets;
    std::optional<Downsample> downsample;
  };
  CausalConv3d conv_in, conv_out;
  std::vector<Block> blocks;
  std::vector<ResnetBlock> mid;
  GroupNorm norm_out;

  Encoder(const WeightScope& weights, const CogVideoXVaeConfig& config);
  at::Tensor operator()(const at::Tensor& video, CausalCache& cache) const;  // (B,3,F,Y,X) -> (B,2C,F',Y/8,X/8)
};

struct Decoder {
  struct Block {
    std::vector<ResnetBlock> resnets;
    std::optional<Upsample> upsample;
  };
  CausalConv3d conv_in, conv_out;
  std::vector<Block> blocks;
  std::vector<ResnetBlock> mid;
  SpatialNorm norm_out;

  Decoder(const WeightScope& weights, const CogVideoXVaeConfig& config);
  at::Tensor operator()(const at::Tensor& zq, CausalCache& cache) const;  // (B,C,F,Y,X) -> (B,3,F',8Y,8X)
};

}  // namespace vae

/// The video autoencoder of CogVideoX (Yang et al. 2024, arXiv:2408.06072, section 2.1): causal in time, so that one
/// frame is an image and 4n+1 frames are n+1 latents. Follows diffusers 0.42.1, chunk by chunk: norms see one chunk at
/// a time, so other chunks give other pixels.
///
/// Computes in the type and on the device of its weights; weights that require gradients get them.
class CogVideoXVae {
 public:
  /// Called after every chunk of a decode; true stops it.
  using Progress = std::function<bool(int done, int total)>;

  /// Rows and columns are decoded in overlapping tiles whose seams are blended: less memory, slightly other pixels.
  struct Tiling {
    int64_t tile_height_px, tile_width_px;
    double overlap_height_ratio = 1.0 / 6.0, overlap_width_ratio = 1.0 / 5.0;
  };

  /// Takes every weight once, by its diffusers key.
  /// @param with_encoder  false leaves the encoder's weights (about half) where they are
  CogVideoXVae(const CogVideoXVaeConfig& config, WeightSource& weights, bool with_encoder);

  /// @param latents   (B,C,F,Y,X), divided by the scaling factor already
  /// @return          (B,3,F',8Y,8X) about -1..1; F' = 4(F-1)+1 where F is odd or 1, 4F where it is even
  /// @throws Error{Cancelled} when progress returns true
  at::Tensor decode(const at::Tensor& latents, const Progress& progress = {}) const;

  /// @param video     (B,3,F,Y,X) in -1..1; Y and X multiples of 8
  /// @return          (B,2C,F',Y/8,X/8): mean, then log variance (not clamped), not yet scaled
  at::Tensor encode_moments(const at::Tensor& video) const;

  /// Tiles of half the sample size of the config, as in diffusers.
  Tiling default_tiling() const;
  void set_tiling(std::optional<Tiling> tiling) { tiling_ = tiling; }

  const CogVideoXVaeConfig& config() const { return config_; }

 private:
  CogVideoXVaeConfig config_;
  std::optional<vae::Encoder> encoder_;
  vae::Decoder decoder_;
  std::optional<vae::Conv3d> quant_conv_, post_quant_conv_;
  std::optional<Tiling> tiling_;

  at::Tensor decode_tile(const at::Tensor& latents, const std::function<void()>& chunk_done) const;
  at::Tensor decode_tiled(const at::Tensor& latents, const Progress& progress) const;
};

}  // namespace ditscope
