#pragma once
#include <ATen/core/Tensor.h>

#include <cstdint>
#include <memory>
#include <optional>
#include <set>

#include "core/attention/method.h"
#include "core/attention/schedule.h"

namespace ditscope {

/// What a planner chose for one batch element.
struct Planned {
  std::shared_ptr<const Selection> selection;
  at::Tensor attended = {};     // (H,T,D) full attention, where a search gave it by the way; undefined: not computed
  double search_kept_ratio = 0;  ///< pairs that the choice itself took, over all pairs; a pass over q and k alone counts 1/2
  bool searched = false;
};

/// Chooses which pairs a sparse step computes; corrections know nothing of how. What it remembers is its own, kept apart per layer
/// and guidance branch. Copies see what the original remembered and no more (see Method::clone).
class Planner {
 public:
  virtual ~Planner() = default;
  Planner() = default;
  Planner& operator=(const Planner&) = delete;
  virtual std::unique_ptr<Planner> clone() const = 0;

  virtual TokenOrder preferred_order(const TokenLayout&) const { return TokenOrder::FrameMajor; }
  /// Kept ratio that the parameters ask for; none where they ask for something else, such as a share of attention.
  virtual std::optional<double> requested_kept_ratio() const = 0;
  /// Whether the parameters keep every pair, so that every step is full.
  virtual bool keeps_everything() const { return requested_kept_ratio().value_or(0) >= 1; }
  /// The step from which a replay must run to find the same choice at `step`.
  virtual int replay_from(int step) const { return step; }

  virtual Planned plan(const LayerCall& call, std::int64_t batch) = 0;
  /// Sees the full steps of warm-up, for what it wants to know before its first choice.
  /// @param last  the next step is not full
  virtual void observe(const LayerCall& /*call*/, std::int64_t /*batch*/, bool /*last*/) {}

  /// Selections that it remembers, and the bytes of all else.
  virtual void add_selections(std::set<const Selection*>& /*to*/) const {}
  virtual std::int64_t bytes_held() const { return 0; }
  virtual std::int64_t estimate_bytes(const MethodSizes&) const { return 0; }

 protected:
  Planner(const Planner&) = default;
};

}  // namespace ditscope
