#pragma once
#include <ATen/core/Tensor.h>

#include <functional>
#include <vector>

#include "core/attention/layer_call.h"

namespace ditscope {

/// One pass through the blocks of a model, as the model tells it.
struct BlockPass {
  int step = 0, steps = 1;
  int blocks = 1;
  TokenLayout layout;            ///< of the states
  std::vector<Branch> branches;  // (B)
  at::Tensor time;               // (B,C) embedding of the timestep
  std::function<at::Tensor()> modulated;  ///< (B,T,C): what the attention of the first block would read, normed and modulated. Costs
                                          ///< a norm; to be called before any block is computed
  std::function<at::Tensor()> projected;  ///< (B,N): the shifts, scales and gates that the timestep gives the first block
};

/// What a model asks around its blocks: whether to compute them, or to take what an earlier pass left. The model names no method,
/// and the cache knows no model. Tensors that a model hands out may be overwritten by it afterwards: what is remembered is a copy.
class BlockCache {
 public:
  virtual ~BlockCache() = default;

  /// Before block `block`, with the states that enter it.
  /// @param x  (B,T,C); replaced where blocks are left out, by a tensor that the model may write into
  /// @return the block to compute next: `block`, a later one that `x` now enters, or pass.blocks where none is left to compute
  virtual int enter(const BlockPass& pass, int block, at::Tensor& x) = 0;
  /// The pass ended. @param x  (B,T,C) that left the last block, or what stood for it
  virtual void leave(const BlockPass& pass, const at::Tensor& x) = 0;

  /// Whether attended() is to be called for this block.
  virtual bool watches_attention(const BlockPass&, int /*block*/) const { return false; }
  /// @param added  (B,T,C): what the attention of a block adds to its states, gate included
  virtual void attended(const BlockPass&, int /*block*/, const at::Tensor& /*added*/) {}
};

}  // namespace ditscope
