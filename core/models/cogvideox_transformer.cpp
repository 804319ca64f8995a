// CogVideoX's transformer: text and video tokens in one sequence, text first, with a modulation of their own each.
#include "core/models/cogvideox_transformer.h"

#include <ATen/ATen.h>
#include <c10/core/GradMode.h>
#include <c10/core/InferenceMode.h>

#include <cmath>
#include <deque>

#include "core/models/cogvideox_blocks.h"
#include "core/models/layers.h"
#include "core/models/positions.h"
#include "kernels/error.h"

namespace ditscope {
namespace {

constexpr std::size_t kCachedTables = 4;

Activation timestep_activation(const std::string& name) {
  if (name == "gelu") return Activation::Gelu;
  if (name == "relu") return Activation::Relu;
  if (name == "mish") return Activation::Mish;
  return Activation::Silu;
}

/// (B,F,C,Y,X) -> tokens (B,F*S,C*pt*p*p), frame-major, and back.
at::Tensor patchify(const at::Tensor& latents, const TokenLayout& l, std::int64_t p, std::int64_t pt) {
  const std::int64_t batch = latents.size(0), channels = latents.size(2);
  return latents.reshape({batch, l.frames, pt, channels, l.rows, p, l.columns, p})
      .permute({0, 1, 4, 6, 3, 2, 5, 7})
      .reshape({batch, l.visual_tokens(), channels * pt * p * p});
}
at::Tensor unpatchify(const at::Tensor& tokens, const TokenLayout& l, std::int64_t p, std::int64_t pt) {
  const std::int64_t batch = tokens.size(0), channels = tokens.size(2) / (pt * p * p);
  return tokens.view({batch, l.frames, l.rows, l.columns, channels, pt, p, p})
      .permute({0, 1, 5, 4, 2, 6, 3, 7})
      .reshape({batch, l.frames * pt, channels, l.rows * p, l.columns * p});
}

void expect(bool holds, const std::string& message) {
  if (!holds) throw Error(ErrorKind::InvalidArgument, message);
}

std::string shape_of(const at::Tensor& tensor) {
  std::string text = "(";
  for (std::int64_t i = 0; i < tensor.dim(); ++i) {
    if (i > 0) text += ',';
    text += std::to_string(tensor.size(i));
  }
  return text + ")";
}

void check_call(const DenoiserCall& call, const CogVideoXConfig& c) {
  expect(call.latents.defined() && call.latents.dim() == 5 && call.latents.size(2) == c.in_channels,
         "expected latents (B,F," + std::to_string(c.in_channels) + ",Y,X), got " +
             (call.latents.defined() ? shape_of(call.latents) : "none"));
  expect(call.latents.size(3) % c.patch_size == 0 && call.latents.size(4) % c.patch_size == 0,
         "expected latent rows and columns that are multiples of " + std::to_string(c.patch_size) + ", got " +
             shape_of(call.latents));
  expect(call.latents.size(1) % c.frame_patch() == 0, "expected latent frames in multiples of " +
                                                          std::to_string(c.frame_patch()) + ", got " + shape_of(call.latents) +
                                                          "; pad them");
  const std::int64_t batch = call.latents.size(0);
  expect(call.timestep.defined() && call.timestep.dim() == 1 && call.timestep.size(0) == batch,
         "expected one timestep for each of " + std::to_string(batch) + " samples");
  expect(call.text.defined() && call.text.dim() == 3 && call.text.size(0) == batch && call.text.size(2) == c.text_embed_dim,
         "expected text embeddings (" + std::to_string(batch) + ",T," + std::to_string(c.text_embed_dim) + "), got " +
             (call.text.defined() ? shape_of(call.text) : "none"));
}

}  // namespace

struct CogVideoXTransformer::Weights {
  Linear patch, text_proj;
  Linear time_1, time_2;
  std::vector<CogVideoXBlock> blocks;
  LayerNorm norm_final;
  ExpertNorm norm_out;
  Linear proj_out;
};

/// Position tables of the latest sizes: they depend on the layout alone, and a run asks for the same one every step.
struct CogVideoXTransformer::Cache {
  struct Entry {
    TokenLayout layout;
    c10::ScalarType dtype;
    c10::Device device;
    at::Tensor table;
  };
  std::deque<Entry> entries;
  at::Tensor text, projected_text;  ///< of the latest call without gradients

  template <class Make>
  at::Tensor table(const TokenLayout& layout, c10::ScalarType dtype, c10::Device device, Make&& make) {
    for (const Entry& e : entries) {
      const TokenLayout& l = e.layout;
      if (l.text_tokens == layout.text_tokens && l.frames == layout.frames && l.rows == layout.rows &&
          l.columns == layout.columns && l.order == layout.order && e.dtype == dtype && e.device == device) {
        return e.table;
      }
    }
    // A table outlives the mode it was asked for in: one made for inference could not be used in training afterwards.
    const c10::InferenceMode no_inference(false);
    const c10::NoGradGuard no_grad;
    entries.push_back({layout, dtype, device, make()});
    if (entries.size() > kCachedTables) entries.pop_front();
    return entries.back().table;
  }
};

CogVideoXTransformer::CogVideoXTransformer(const CogVideoXConfig& config, WeightSource& source)
    : config_(config), weights_(std::make_unique<Weights>()), cache_(std::make_unique<Cache>()) {
  config_.check();
  const CogVideoXConfig& c = config_;
  const std::int64_t d = c.inner_dim(), p = c.patch_size;
  const WeightScope root(source), patch = root / "patch_embed";
  Weights& w = *weights_;
  if (c.patch_size_t) {
    w.patch = Linear::take(patch / "proj", c.in_channels * p * p * *c.patch_size_t, d);
  } else {
    w.patch.weight = (patch / "proj").take("weight", {d, c.in_channels, p, p});  // a convolution with stride p
    if (c.patch_bias) w.patch.bias = (patch / "proj").take("bias", {d});
  }
  w.text_proj = Linear::take(patch / "text_proj", c.text_embed_dim, d);
  w.time_1 = Linear::take(root / "time_embedding" / "linear_1", d, c.time_embed_dim);
  w.time_2 = Linear::take(root / "time_embedding" / "linear_2", c.time_embed_dim, c.time_embed_dim);
  for (int i = 0; i < c.num_layers; ++i) w.blocks.push_back(CogVideoXBlock::take(root / "transformer_blocks" / std::to_string(i), c));
  w.norm_final = LayerNorm::take(root / "norm_final", d, c.norm_eps, c.norm_elementwise_affine);
  w.norm_out.linear = Linear::take(root / "norm_out" / "linear", c.time_embed_dim, 2 * d);
  w.norm_out.norm = LayerNorm::take(root / "norm_out" / "norm", d, c.norm_eps, c.norm_elementwise_affine);
  w.proj_out = Linear::take(root / "proj_out", d, p * p * c.frame_patch() * c.out_channels);
}

CogVideoXTransformer::~CogVideoXTransformer() = default;
CogVideoXTransformer::CogVideoXTransformer(CogVideoXTransformer&&) noexcept = default;
CogVideoXTransformer& CogVideoXTransformer::operator=(CogVideoXTransformer&&) noexcept = default;
const CogVideoXConfig& CogVideoXTransformer::config() const {
  return config_;
}

at::Tensor CogVideoXTransformer::sincos(const TokenLayout& layout, const at::Tensor& like) const {
  return cache_->table(layout, like.scalar_type(), like.device(), [&] {
    const at::Tensor table = sincos_positions(config_.inner_dim(), layout.frames, layout.rows, layout.columns,
                                              config_.spatial_interpolation_scale, config_.temporal_interpolation_scale);
    const at::Tensor video = from_frame_major(table.unsqueeze(0), layout);
    return at::cat({at::zeros({1, layout.text_tokens, table.size(1)}, at::kDouble), video}, 1).to(like.options());
  });
}

at::Tensor CogVideoXTransformer::rotary(const TokenLayout& layout, c10::Device device) const {
  const CogVideoXConfig& c = config_;
  const std::int64_t base_rows = c.sample_height / c.patch_size, base_columns = c.sample_width / c.patch_size;
  expect(!c.patch_size_t || (layout.rows <= base_rows && layout.columns <= base_columns),
         "expected at most " + std::to_string(base_rows * c.patch_size) + " x " + std::to_string(base_columns * c.patch_size) +
             " latent rows and columns, got " + std::to_string(layout.rows * c.patch_size) + " x " +
             std::to_string(layout.columns * c.patch_size) + "; choose a smaller size");
  return cache_->table(layout, at::kComplexFloat, device, [&] {
    const RotaryGrid grid = c.patch_size_t
                                ? rotary_grid_slice(layout.frames, layout.rows, layout.columns)
                                : rotary_grid_linspace(layout.frames, layout.rows, layout.columns, base_rows, base_columns);
    return rotary_table(c.attention_head_dim, grid, layout.text_tokens, layout.order).to(device);
  });
}

/// The prompts of a run stay the same from step to step.
at::Tensor CogVideoXTransformer::projected_text(const at::Tensor& text) const {
  const auto project = [&] { return weights_->text_proj(text.to(weights_->text_proj.weight.scalar_type())); };
  if (c10::GradMode::is_enabled()) return project();
  if (!cache_->text.is_same(text)) {
    cache_->projected_text = project();
    cache_->text = text;
  }
  return cache_->projected_text;  // (B,T,C)
}

at::Tensor CogVideoXTransformer::forward(const DenoiserCall& call, Attention& attention) const {
  const CogVideoXConfig& c = config_;
  const Weights& w = *weights_;
  check_call(call, c);
  const c10::ScalarType dtype = w.patch.weight.scalar_type();
  const std::int64_t p = c.patch_size, pt = c.frame_patch();
  TokenLayout layout;
  layout.text_tokens = call.text.size(1);
  layout.frames = call.latents.size(1) / pt;
  layout.rows = call.latents.size(3) / p;
  layout.columns = call.latents.size(4) / p;
  layout.order = attention.preferred_order(layout);

  // 1. Time: sinusoids -> two linear layers; every norm takes its modulation from silu(time).
  BlockInputs inputs;
  inputs.heads = c.num_attention_heads;
  inputs.text_tokens = layout.text_tokens;
  inputs.activation = c.activation_fn == "gelu" ? Activation::Gelu : Activation::GeluTanh;
  at::Tensor time = timestep_sinusoids(call.timestep, c.inner_dim(), c.flip_sin_to_cos, c.freq_shift).to(dtype);
  time = w.time_2(activate(w.time_1(time), timestep_activation(c.timestep_activation_fn)));
  inputs.time = at::silu(time);  // (B,time_embed_dim)

  // 2. Patches and text become one sequence, text first.
  const at::Tensor patches = from_frame_major(patchify(call.latents.to(dtype), layout, p, pt), layout);  // (B,F*S,Cin*pt*p*p)
  const at::Tensor video = Linear{w.patch.weight.flatten(1), w.patch.bias}(patches);                     // (B,F*S,C)
  at::Tensor x = at::cat({projected_text(call.text), video}, 1);                                         // (B,T,C)

  // 3. Positions: sincos are added here, rotary ones turn q and k in each layer.
  if (c.use_rotary_positional_embeddings) {
    inputs.rotary = rotary(layout, x.device());
  } else {
    x = may_work_in_place() ? x.add_(sincos(layout, x)) : x + sincos(layout, x);
  }

  // 4. Blocks.
  LayerCall layer_call;
  layer_call.scale = 1.0 / std::sqrt(static_cast<double>(c.attention_head_dim));
  layer_call.layout = layout;
  layer_call.layers = c.num_layers;
  layer_call.step = call.step;
  layer_call.steps = call.steps;
  layer_call.branches = call.branches;
  inputs.cache = call.cache;
  inputs.pass = {call.step, call.steps, c.num_layers, layout, call.branches, time, {}};
  inputs.before_block = [&](int layer) {
    if (call.on_layer && call.on_layer(layer, c.num_layers)) throw Error(ErrorKind::Cancelled, "stopped");
  };
  x = can_fuse_blocks(w.blocks, c, x) ? fused_blocks(w.blocks, x, inputs, layer_call, attention)
                                      : run_blocks(w.blocks, x, inputs, layer_call, attention);  // (B,T,C)

  // 5. Two norms over the video tokens, the second modulated, then patches become latents again.
  x = w.norm_final(x.narrow(1, layout.text_tokens, layout.visual_tokens()).to(dtype));  // (B,F*S,C)
  const auto out = w.norm_out.linear(inputs.time).unsqueeze(1).chunk(2, -1);
  x = w.proj_out(at::addcmul(out[0], w.norm_out.norm(x), out[1] + 1));  // (B,F*S,Cout*pt*p*p)
  return unpatchify(to_frame_major(x, layout), layout, p, pt);          // (B,F,C,Y,X)
}

}  // namespace ditscope
