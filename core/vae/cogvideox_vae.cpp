#include "core/vae/cogvideox_vae.h"

#include <ATen/ATen.h>
#include <c10/core/GradMode.h>

#include <algorithm>
#include <string>
#include <utility>

#include "core/bridge/profile.h"
#include "core/vae/reused_memory.h"
#include "kernels/error.h"

namespace ditscope {
namespace vae {
namespace {

constexpr int64_t kMidResnets = 2;

int64_t blocks_with_time(const CogVideoXVaeConfig& config) {
  int64_t count = 0;
  while ((int64_t{2} << count) <= config.temporal_compression_ratio) ++count;
  return count;
}

std::string item(const char* list, int64_t index) { return std::string(list) + "." + std::to_string(index); }

}  // namespace

ResnetBlock::ResnetBlock(const WeightScope& weights, int64_t in_channels, int64_t out_channels, int64_t latent_channels,
                         int64_t groups, double eps)
    : conv1(weights / "conv1", in_channels, out_channels),
      conv2(weights / "conv2", out_channels, out_channels),
      is_spatial(latent_channels > 0) {
  if (is_spatial) {
    spatial_norm1 = SpatialNorm(weights / "norm1", in_channels, latent_channels, groups);
    spatial_norm2 = SpatialNorm(weights / "norm2", out_channels, latent_channels, groups);
  } else {
    plain_norm1 = GroupNorm(weights / "norm1", in_channels, groups, eps);
    plain_norm2 = GroupNorm(weights / "norm2", out_channels, groups, eps);
  }
  if (in_channels != out_channels) conv_shortcut = Conv3d(weights / "conv_shortcut", in_channels, out_channels, 1);
}

at::Tensor ResnetBlock::operator()(const at::Tensor& x, const at::Tensor& zq, CausalCache& cache) const {
  at::Tensor h = is_spatial ? norm_silu_conv(spatial_norm1, x, zq, conv1, cache) : norm_silu_conv(plain_norm1, x, conv1, cache);
  h = is_spatial ? norm_silu_conv(spatial_norm2, h, zq, conv2, cache) : norm_silu_conv(plain_norm2, h, conv2, cache);
  const at::Tensor shortcut = conv_shortcut ? (*conv_shortcut)(x) : x;
  const Profile::Stretch stretch(Profile::Kind::Elementwise, "residual");
  return c10::GradMode::is_enabled() ? h + shortcut : h.add_(shortcut);  // (B,Cout,F,Y,X)
}

Encoder::Encoder(const WeightScope& weights, const CogVideoXVaeConfig& config)
    : conv_in(weights / "conv_in", config.in_channels, config.block_out_channels.front()),
      conv_out(weights / "conv_out", config.block_out_channels.back(), 2 * config.latent_channels),
      norm_out(weights / "norm_out", config.block_out_channels.back(), config.norm_num_groups, 1e-6) {
  int64_t width = config.block_out_channels.front();
  const auto count = static_cast<int64_t>(config.block_out_channels.size());
  for (int64_t i = 0; i < count; ++i) {
    const WeightScope scope = weights / item("down_blocks", i);
    Block& block = blocks.emplace_back();
    for (int64_t j = 0; j < config.layers_per_block; ++j) {
      block.resnets.emplace_back(scope / item("resnets", j), width, config.block_out_channels[i], 0, config.norm_num_groups,
                                 config.norm_eps);
      width = config.block_out_channels[i];
    }
    if (i + 1 < count) block.downsample = Downsample(scope / "downsamplers.0", width, i < blocks_with_time(config));
  }
  for (int64_t j = 0; j < kMidResnets; ++j) {
    mid.emplace_back(weights / "mid_block" / item("resnets", j), width, width, 0, config.norm_num_groups, config.norm_eps);
  }
}

at::Tensor Encoder::operator()(const at::Tensor& video, CausalCache& cache) const {
  at::Tensor x = conv_in(channels_last(video), cache);
  for (const Block& block : blocks) {
    for (const ResnetBlock& resnet : block.resnets) x = resnet(x, {}, cache);
    if (block.downsample) x = (*block.downsample)(x);
  }
  for (const ResnetBlock& resnet : mid) x = resnet(x, {}, cache);
  return norm_silu_conv(norm_out, x, conv_out, cache);
}

Decoder::Decoder(const WeightScope& weights, const CogVideoXVaeConfig& config)
    : conv_in(weights / "conv_in", config.latent_channels, config.block_out_channels.back()),
      conv_out(weights / "conv_out", config.block_out_channels.front(), config.out_channels),
      norm_out(weights / "norm_out", config.block_out_channels.front(), config.latent_channels, config.norm_num_groups) {
  int64_t width = config.block_out_channels.back();
  const auto resnet = [&](const WeightScope& scope, int64_t out) {
    return ResnetBlock(scope, std::exchange(width, out), out, config.latent_channels, config.norm_num_groups, config.norm_eps);
  };
  for (int64_t j = 0; j < kMidResnets; ++j) mid.push_back(resnet(weights / "mid_block" / item("resnets", j), width));
  const auto count = static_cast<int64_t>(config.block_out_channels.size());
  for (int64_t i = 0; i < count; ++i) {
    const WeightScope scope = weights / item("up_blocks", i);
    Block& block = blocks.emplace_back();
    for (int64_t j = 0; j <= config.layers_per_block; ++j) {
      block.resnets.push_back(resnet(scope / item("resnets", j), config.block_out_channels[count - 1 - i]));
    }
    if (i + 1 < count) block.upsample = Upsample(scope / "upsamplers.0", width, i < blocks_with_time(config));
  }
}

at::Tensor Decoder::operator()(const at::Tensor& latents, CausalCache& cache) const {
  const at::Tensor zq = channels_last(latents);
  at::Tensor x = conv_in(zq, cache);
  for (const ResnetBlock& resnet : mid) x = resnet(x, zq, cache);
  for (size_t i = 0; i < blocks.size(); ++i) {
    Profile::enter_layer(static_cast<int>(i));
    for (const ResnetBlock& resnet : blocks[i].resnets) x = resnet(x, zq, cache);
    if (blocks[i].upsample) x = (*blocks[i].upsample)(x);
  }
  Profile::enter_layer(-1);
  return norm_silu_conv(norm_out, x, zq, conv_out, cache);
}

}  // namespace vae

namespace {

constexpr int64_t kLatentFramesPerChunk = 2;
constexpr int64_t kVideoFramesPerChunk = 8;

int64_t chunk_count(int64_t frames, int64_t per_chunk) { return std::max<int64_t>(frames / per_chunk, 1); }

/// Chunks of `per_chunk` frames; what does not fill a chunk joins the first.
template <typename F>
at::Tensor by_chunks(const at::Tensor& x, int64_t per_chunk, F&& work) {
  const int64_t frames = x.size(2), rest = frames % per_chunk;
  std::vector<at::Tensor> parts;
  for (int64_t i = 0; i < chunk_count(frames, per_chunk); ++i) {
    const int64_t start = i == 0 ? 0 : per_chunk * i + rest;
    const int64_t end = std::min(per_chunk * (i + 1) + rest, frames);
    parts.push_back(work(x.narrow(2, start, end - start)));
  }
  return parts.size() == 1 ? parts[0] : at::cat(parts, 2);
}

/// Cross-fades the first `extent` rows (dim 3) or columns (dim 4) of `tile` from the last ones of `before`.
at::Tensor blend(const at::Tensor& before, const at::Tensor& tile, int64_t dim, int64_t extent) {
  extent = std::min({before.size(dim), tile.size(dim), extent});
  if (extent == 0) return tile;
  std::vector<int64_t> shape(5, 1);
  shape[dim] = extent;
  const at::Tensor ramp = (at::arange(extent, tile.options().dtype(at::kDouble)) / static_cast<double>(extent)).view(shape);
  const at::Tensor faded = before.narrow(dim, before.size(dim) - extent, extent) * (1 - ramp).to(tile.dtype()) +
                           tile.narrow(dim, 0, extent) * ramp.to(tile.dtype());
  return at::cat({faded, tile.narrow(dim, extent, tile.size(dim) - extent)}, dim);
}

/// Tiles along rows or columns, in latents. Differs from diffusers where its two roundings disagree (a video of another size
/// comes out there): what is blended is always what overlaps.
struct TileSpan {
  int64_t size, step, blend_px;

  TileSpan(int64_t tile_px, double overlap_ratio, int64_t ratio)
      : size(tile_px / ratio), step(static_cast<int64_t>(size * (1 - overlap_ratio))), blend_px((size - step) * ratio) {
    if (step >= 1 && step <= size) return;
    throw Error{ErrorKind::InvalidArgument, "expected tiles of at least one latent next to their overlap, got " +
                                                std::to_string(tile_px) + " px at an overlap of " + std::to_string(overlap_ratio) +
                                                "; make the tiles larger"};
  }
  int64_t count(int64_t latents) const { return (latents + step - 1) / step; }
};

void expect_video(const at::Tensor& x, int64_t channels, int64_t multiple, const char* what) {
  if (x.dim() == 5 && x.size(1) == channels && x.numel() > 0 && x.size(3) % multiple == 0 && x.size(4) % multiple == 0) return;
  std::string shape;
  for (const int64_t size : x.sizes()) {
    if (!shape.empty()) shape += ',';
    shape += std::to_string(size);
  }
  throw Error{ErrorKind::InvalidArgument, std::string("expected ") + what + " (B," + std::to_string(channels) +
                                              ",F,Y,X) with rows and columns in multiples of " + std::to_string(multiple) +
                                              ", got (" + shape + "); reshape or resize it"};
}

}  // namespace

CogVideoXVae::CogVideoXVae(const CogVideoXVaeConfig& config, WeightSource& weights, bool with_encoder)
    : config_((config.check(), config)), decoder_(WeightScope(weights, "decoder."), config) {
  const WeightScope root(weights);
  if (with_encoder) encoder_.emplace(root / "encoder", config);
  if (with_encoder && config.use_quant_conv) quant_conv_.emplace(root / "quant_conv", 2 * config.out_channels, 2 * config.out_channels, 1);
  if (config.use_post_quant_conv) post_quant_conv_.emplace(root / "post_quant_conv", config.out_channels, config.out_channels, 1);
}

at::Tensor CogVideoXVae::decode(const at::Tensor& latents, const Progress& progress) const {
  expect_video(latents, config_.latent_channels, 1, "latents");
  const vae::ReusedMemory memory;
  const at::Tensor z = latents.to(decoder_.conv_in.conv.weight.options());
  if (tiling_) {
    const int64_t ratio = config_.spatial_compression();
    if (z.size(3) > tiling_->tile_height_px / ratio || z.size(4) > tiling_->tile_width_px / ratio) return decode_tiled(z, progress);
  }
  int done = 0;
  const int total = static_cast<int>(chunk_count(z.size(2), kLatentFramesPerChunk));
  return decode_tile(z, [&] {
    if (progress && progress(++done, total)) throw Error{ErrorKind::Cancelled, "decoding was stopped"};
  });
}

at::Tensor CogVideoXVae::decode_tile(const at::Tensor& latents, const std::function<void()>& chunk_done) const {
  vae::CausalCache cache;
  return by_chunks(latents, kLatentFramesPerChunk, [&](const at::Tensor& chunk) {
    const at::Tensor video = decoder_(post_quant_conv_ ? (*post_quant_conv_)(chunk) : chunk, cache);  // (B,3,F',Y',X')
    chunk_done();
    return video;
  });
}

at::Tensor CogVideoXVae::decode_tiled(const at::Tensor& latents, const Progress& progress) const {
  const int64_t ratio = config_.spatial_compression(), rows = latents.size(3), columns = latents.size(4);
  const TileSpan high(tiling_->tile_height_px, tiling_->overlap_height_ratio, ratio);
  const TileSpan wide(tiling_->tile_width_px, tiling_->overlap_width_ratio, ratio);
  int done = 0;
  const int total = static_cast<int>(high.count(rows) * wide.count(columns) * chunk_count(latents.size(2), kLatentFramesPerChunk));
  const auto chunk_done = [&] {
    if (progress && progress(++done, total)) throw Error{ErrorKind::Cancelled, "decoding was stopped"};
  };
  std::vector<at::Tensor> above, bands;  // the blended tiles of the last row of tiles, and what is kept of each row
  for (int64_t y = 0; y < rows; y += high.step) {
    std::vector<at::Tensor> row, kept;
    for (int64_t x = 0; x < columns; x += wide.step) {
      at::Tensor tile = decode_tile(latents.slice(3, y, y + high.size).slice(4, x, x + wide.size), chunk_done);
      if (!above.empty()) tile = blend(above[row.size()], tile, 3, high.blend_px);
      if (!row.empty()) tile = blend(row.back(), tile, 4, wide.blend_px);
      row.push_back(tile);
      kept.push_back(tile.slice(3, 0, high.step * ratio).slice(4, 0, wide.step * ratio));
    }
    bands.push_back(at::cat(kept, 4));
    above = std::move(row);
  }
  return at::cat(bands, 3);  // (B,3,F',Y',X')
}

at::Tensor CogVideoXVae::encode_moments(const at::Tensor& video) const {
  if (!encoder_) {
    throw Error{ErrorKind::InvalidArgument, "expected an autoencoder that was loaded with its encoder, got a decoder; load it with both"};
  }
  expect_video(video, config_.in_channels, config_.spatial_compression(), "a video");
  const vae::ReusedMemory memory;
  vae::CausalCache cache;
  return by_chunks(video.to(encoder_->conv_in.conv.weight.options()), kVideoFramesPerChunk, [&](const at::Tensor& chunk) {
    const at::Tensor moments = (*encoder_)(chunk, cache);  // (B,2C,F',Y/8,X/8)
    return quant_conv_ ? (*quant_conv_)(moments) : moments;
  });
}

CogVideoXVae::Tiling CogVideoXVae::default_tiling() const { return {config_.sample_height / 2, config_.sample_width / 2}; }

}  // namespace ditscope
