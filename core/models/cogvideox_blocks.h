#pragma once
#include <ATen/core/Tensor.h>

#include <functional>
#include <vector>

#include "core/models/cogvideox_transformer.h"
#include "core/models/layers.h"

namespace ditscope {

/// LayerNorm shared by both streams, with the modulations that the time embedding gives each.
struct ExpertNorm {
  Linear linear;
  LayerNorm norm;
};

struct CogVideoXBlock {
  ExpertNorm norm1, norm2;
  LayerNorm norm_q, norm_k;
  Linear qkv;               ///< (3C,C), in place of the next three where weights are not trained
  Linear to_q, to_k, to_v;
  Linear to_out;
  Linear expand, contract;

  static CogVideoXBlock take(const WeightScope& scope, const CogVideoXConfig& config);
};

/// What stays the same from block to block.
struct BlockInputs {
  at::Tensor time;    // (B,time_embed_dim) after SiLU
  at::Tensor rotary;  // (T,D/2) complex64, undefined without rotary positions
  std::int64_t heads = 1, text_tokens = 0;
  Activation activation = Activation::GeluTanh;
  /// Called before each block that may be computed, with its number; throws to stop.
  std::function<void(int)> before_block;
  BlockPass pass;               ///< what the cache is told, its functions left out
  BlockCache* cache = nullptr;  ///< asked around the blocks; null: every block is computed
};

/// The blocks one operator after the other: differentiable, on every device; without gradients `x` is overwritten.
/// @param call  comes with all but layer, q, k and v
at::Tensor run_blocks(const std::vector<CogVideoXBlock>& blocks, at::Tensor x, const BlockInputs& inputs, LayerCall& call,
                      Attention& attention);  // (B,T,C)

/// True where fused_blocks() can stand in for run_blocks(): on the CPU, in float32 or bfloat16, no gradients wanted.
bool can_fuse_blocks(const std::vector<CogVideoXBlock>& blocks, const CogVideoXConfig& config, const at::Tensor& x);

/// The same with everything between two matrix products in one pass over the tokens. Hidden states stay in float32 from
/// block to block whatever the type of the weights, so that bfloat16 rounds what goes into a product and nothing else.
at::Tensor fused_blocks(const std::vector<CogVideoXBlock>& blocks, const at::Tensor& x, const BlockInputs& inputs, LayerCall& call,
                        Attention& attention);  // (B,T,C) float32

}  // namespace ditscope
