#pragma once
#include <memory>
#include <string>
#include <vector>

#include "core/attention/schedule.h"
#include "core/catalog/catalog.h"
#include "core/step_cache/step_cache.h"

namespace ditscope {

/// The shape of a model, by which numbers that were fitted to it are found.
struct ModelShape {
  std::string family;  ///< "CogVideoX"
  int layers = 0, heads = 0, frame_patch = 1;
};

/// The step cache of one generation: a method with its memory, the rules that all methods share, and the count of what was left
/// out. Made anew for every run; not thread-safe.
///
/// Every block is computed at the first and last steps that the parameters name, everywhere with a threshold of 0, and at each step
/// at which the attention's schedule renews what later steps reuse (a refresh or a search): those steps would otherwise go on with
/// what is older than the attention method was told.
class StepCacheSession final : public BlockCache {
 public:
  /// @param choice     of a method with a step cache
  /// @param attention  what the attention method plans, for all layers
  StepCacheSession(const MethodChoice& choice, int steps, const ModelShape& model, const Schedule& attention);
  ~StepCacheSession() override;
  /// A session that stands where this one stands and goes its own way from here.
  std::unique_ptr<StepCacheSession> fork() const;

  int enter(const BlockPass& pass, int block, at::Tensor& x) override;
  void leave(const BlockPass& pass, const at::Tensor& x) override;
  bool watches_attention(const BlockPass& pass, int block) const override;
  void attended(const BlockPass& pass, int block, const at::Tensor& added) override;

  /// Blocks that were left out, over all blocks; of one step, or of all steps so far.
  double reused_ratio(int step) const;
  double reused_ratio() const;
  /// The step from which a replay must run for `step` to find what the cache then remembered, no later than `from`.
  int replay_from(int step, int from) const;
  std::int64_t bytes_held() const { return cache_->bytes_held(); }
  std::int64_t peak_bytes_held() const { return peak_bytes_; }
  /// What a person should know: numbers that were not fitted to this model.
  const std::string& notice() const { return notice_; }

 private:
  StepCacheSession(const StepCacheSession& other);
  bool must_compute(int step) const;
  struct Count {
    int blocks = 0, reused = 0;
  };

  int steps_;
  double threshold_;
  int warmup_steps_, last_steps_;
  std::vector<bool> renews_;   // (S)
  std::vector<Count> counts_;  // (S)
  std::unique_ptr<StepCache> cache_;
  std::string notice_;
  std::int64_t peak_bytes_ = 0;
};

/// Null where the choice has no step cache.
std::unique_ptr<StepCacheSession> make_step_cache_session(const MethodChoice& choice, int steps, const ModelShape& model,
                                                          const Schedule& attention);
/// Bytes that the step cache of a choice will hold between steps; 0 where it has none.
std::int64_t estimate_step_cache_bytes(const MethodChoice& choice, int steps, const ModelShape& model, const StepCacheSizes& sizes);

}  // namespace ditscope
