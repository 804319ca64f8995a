#pragma once
#include <cstdint>
#include <memory>

#include "core/attention/method.h"
#include "core/catalog/parameter.h"

namespace ditscope {

/// The static window of Re-ttention: query i keeps key j iff one of them is text or |site(i) - site(j)| <= half, where site is
/// the position within its frame in raster order and half = floor(floor(sites * kept_ratio) / 2). The same window lies in every
/// frame; with one frame it is a band along the raster, truncated at its ends. The diagonal is always kept.
///
/// Position-major tokens make it one band; frame-major ones one interval per frame. Both keep the same pairs.
/// @see Re-ttention, its code (github.com/cccrrrccc/Re-ttention)
BlockMask window_mask(const TokenLayout& layout, double kept_ratio);

/// Parameters that methods with a window share, as the catalog names them.
struct WindowParameters {
  double kept_ratio = 1.0 / 32;
  ScheduleRule schedule;
};
WindowParameters window_parameters(const ParameterValues& parameters, StepKind refresh_kind);

/// Makes the plans of a method with a window, and keeps its mask, which is the same for every layer, head and step. Copies share
/// it.
class WindowPlanner {
 public:
  WindowPlanner(const WindowParameters& parameters, int steps) : parameters_(parameters), steps_(steps) {}

  /// Position-major where the window then needs fewer blocks: several frames of several sites.
  static TokenOrder preferred_order(const TokenLayout& layout);
  double kept_ratio() const { return parameters_.kept_ratio; }
  Schedule schedule(int steps, int layers) const;
  /// The last refresh at or before the step; the step itself where it is full.
  int replay_from(int step, int layers) const;
  /// What the schedule says of this call. A kept ratio of 1 makes every step full.
  StepKind scheduled(const LayerCall& call);
  BlockPlan plan(const LayerCall& call, StepKind kind);
  /// The complement of the plan's mask, made when a refresh first asks for it.
  const BlockMask& skipped();
  std::int64_t bytes() const;

 private:
  WindowParameters parameters_;
  int steps_;
  Schedule schedule_;
  TokenLayout layout_;
  std::shared_ptr<const BlockMask> kept_;
  std::shared_ptr<const BlockMask> skipped_;
  double kept_ratio_pairs_ = 1, kept_ratio_blocks_ = 1;
};

}  // namespace ditscope
