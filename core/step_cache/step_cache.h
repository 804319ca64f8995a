#pragma once
#include <ATen/core/Tensor.h>

#include <cstdint>
#include <map>
#include <memory>
#include <vector>

#include "core/models/block_cache.h"

namespace ditscope {

/// Sizes that a cache's memory depends on.
struct StepCacheSizes {
  int blocks = 0;
  std::int64_t batch = 0, tokens = 0, width = 0, time_width = 0, element_bytes = 4;

  std::int64_t states_bytes() const { return batch * tokens * width * element_bytes; }
};

/// One way to reuse blocks across the steps of one generation. What it remembers is kept apart per guidance branch and ends with the
/// object. It never names a model or an attention method. Rules that all share (first and last steps, a threshold of 0, steps at
/// which the attention renews what it reuses) reach it as `must_compute`, see StepCacheSession.
class StepCache {
 public:
  virtual ~StepCache() = default;
  StepCache() = default;
  StepCache& operator=(const StepCache&) = delete;

  /// A copy that goes its own way, at no cost: tensors are shared, replaced and never written into.
  /// With value members: `return std::make_unique<T>(*this);`
  virtual std::unique_ptr<StepCache> clone() const = 0;

  /// As BlockCache::enter(). @param must_compute  the same for all blocks of a pass: none may be left out
  virtual int enter(const BlockPass& pass, bool must_compute, int block, at::Tensor& x) = 0;
  virtual void leave(const BlockPass& pass, const at::Tensor& x) = 0;
  virtual bool watches_attention(const BlockPass&, int /*block*/) const { return false; }
  virtual void attended(const BlockPass&, int /*block*/, const at::Tensor& /*added*/) {}

  /// Whether a cache that knows nothing remembers, after a step whose blocks were all computed, what this one then remembers.
  virtual bool starts_anew() const { return false; }
  virtual std::int64_t bytes_held() const = 0;
  virtual std::int64_t estimate_bytes(const StepCacheSizes& sizes) const = 0;

 protected:
  StepCache(const StepCache&) = default;
};

/// What a cache remembers, one State per set of guidance branches that are computed together: calls of one branch each keep apart.
/// Another size or grid of tokens starts anew.
template <typename State>
class PassStates {
 public:
  State& of(const BlockPass& pass, const at::Tensor& x) {
    const TokenLayout& l = pass.layout;
    std::vector<std::int64_t> shape = x.sizes().vec();
    shape.insert(shape.end(), {l.text_tokens, l.text_first, l.frames, l.rows, l.columns, static_cast<std::int64_t>(l.order)});
    auto& [known, state] = states_[pass.branches];
    if (known != shape) {
      known = std::move(shape);
      state = State{};
    }
    return state;
  }
  /// Sum of `bytes_of(state)`.
  template <typename Bytes>
  std::int64_t bytes(const Bytes& bytes_of) const {
    std::int64_t sum = 0;
    for (const auto& [branches, entry] : states_) sum += bytes_of(entry.second);
    return sum;
  }

 private:
  std::map<std::vector<Branch>, std::pair<std::vector<std::int64_t>, State>> states_;
};

/// mean|a - b| / mean|b|; not a number where b is zero. In float32.
double relative_change(const at::Tensor& a, const at::Tensor& b);
/// The visual tokens of (B,T,C).
at::Tensor visual(const at::Tensor& x, const TokenLayout& layout);
std::int64_t bytes_of(const at::Tensor& tensor);

}  // namespace ditscope
