#pragma once
#include <vector>

#include "core/pipeline/events.h"

namespace ditscope {

using StepKind = StepRecord::Kind;

/// Which steps and layers attend to everything, refresh what is remembered, or are sparse: data, the same for all methods.
struct Schedule {
  int steps = 0, layers = 0;
  std::vector<StepKind> cells;  // (S,L)

  StepKind at(int step, int layer) const;
  /// Mean kept ratio of the whole run when a sparse cell keeps `sparse_kept`. A refresh counts 1 + sparse_kept (it also needs
  /// what the window alone gives), a full or search cell 1, a cell that reuses its cached output 0.
  double average_kept(double sparse_kept) const;
  /// The most that attention can gain over full attention if every pair costs the same: 1 / average_kept.
  double ceiling(double sparse_kept) const;
};

/// The rule that the schedules of the papers follow.
struct ScheduleRule {
  int warmup_steps = 0;                       ///< full for step < warmup_steps
  int refresh_period = 0;                     ///< then every refresh_period-th step, the first one included; 0: never
  StepKind refresh_kind = StepKind::Refresh;  ///< Full where the method remembers nothing
  int dense_layers = 0;                       ///< full for layer < dense_layers
  std::vector<int> search_steps = {};           ///< steps after warm-up that look for their blocks anew
  StepKind search_kind = StepKind::Search;    ///< Refresh where a search also renews what sparse steps reuse
};

/// The search that a step's blocks come from; -1 before the first (such a step searches for itself).
/// @param search_steps  ascending
int latest_search(const std::vector<int>& search_steps, int step);

Schedule make_schedule(const ScheduleRule& rule, int steps, int layers);

}  // namespace ditscope
