#pragma once
#include <ATen/core/Tensor.h>

#include <cstdint>
#include <vector>

namespace ditscope {

/// How the visual tokens of a call follow each other.
enum class TokenOrder {
  FrameMajor,     ///< (f, y, x): x runs fastest, as models lay them out
  PositionMajor,  ///< (y, x, f): the frames of one site lie side by side, so a per-frame site window is one band
};

/// Where the tokens of a sequence come from: a text span before or after a (frames, rows, columns) grid.
struct TokenLayout {
  std::int64_t text_tokens = 0;
  bool text_first = true;
  std::int64_t frames = 1, rows = 1, columns = 1;
  TokenOrder order = TokenOrder::FrameMajor;

  std::int64_t sites() const { return rows * columns; }
  std::int64_t visual_tokens() const { return frames * rows * columns; }
  std::int64_t tokens() const { return text_tokens + visual_tokens(); }
  std::int64_t visual_begin() const { return text_first ? text_tokens : 0; }
};

/// Which guidance branch a batch element belongs to; what a method remembers is kept apart per branch.
enum class Branch { Unconditional, Conditional };

/// How the kernels form the logits of a sparse step. Probabilities and v keep their type.
enum class QkPrecision {
  Float,           ///< as q and k come
  Int8,            ///< one scale for 128 queries or 64 keys, keys without their mean over tokens (SageAttention, arXiv:2410.02367)
  Int8PerToken,    ///< the same with one scale a token
  Int8Unsmoothed,  ///< as Int8 with the mean left in: what the smoothing is worth shows against it
};

/// One self-attention of one layer at one step, as a model hands it over. The model never names a method.
struct LayerCall {
  at::Tensor q, k, v;  // (B,H,T,D) after qk-norm and positions
  double scale = 1;    ///< logits are scale * q.k
  TokenLayout layout;
  int layer = 0, layers = 1;
  int step = 0, steps = 1;       ///< transformer evaluation, 0-based
  std::vector<Branch> branches;  ///< (B)
  at::Tensor key_mask;           ///< (B,T) bool, undefined: every key counts
  QkPrecision qk = QkPrecision::Float;  ///< of masked_attention(); set by methods, for their sparse steps
  at::Tensor pv_skip;                   // (H) float32, int8 alone: see Int8Options::pv_skip; undefined: off
};

/// What a model calls for its attention. Implemented by AttentionSession (methods, measures, events) and, for training, by
/// plain scaled_dot_product_attention.
class Attention {
 public:
  virtual ~Attention() = default;
  /// The token order in which attend() is cheapest for this layout; the model permutes once per forward pass.
  virtual TokenOrder preferred_order(const TokenLayout& layout) const = 0;
  virtual at::Tensor attend(const LayerCall& call) = 0;  // (B,H,T,D)
};

/// Dense attention through LibTorch, differentiable: for training and for tests of models.
class DenseAttention final : public Attention {
 public:
  TokenOrder preferred_order(const TokenLayout&) const override { return TokenOrder::FrameMajor; }
  at::Tensor attend(const LayerCall& call) override;
};

}  // namespace ditscope
