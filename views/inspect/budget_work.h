#pragma once
#include <string>
#include <vector>

#include "views/inspect/plot_values.h"

namespace ditscope::views {

/// What the attention calls of a run cost.
struct WorkTable {
  struct Call {
    int step = 0, layer = 0, branch = 0;
    std::string action;
    double ms = 0;  ///< planning and executing; NaN: not measured
    double flops_dense = 0, flops_done = 0, plan_bytes = 0;
  };
  std::vector<Call> calls;
  HeadValues head_ms, head_tiles;  ///< time of each head; touched blocks over all; in order

  ValueGrid time_grid(int steps, int layers) const;  ///< (L,S) ms, summed over branches
  Series plan_megabytes(int steps) const;
};
Datum<WorkTable> work_table(Inspection& inspection, int run);

/// Work and time of one head over the steps at which the run was sparse, against the same steps of the reference.
struct HeadWork {
  int layer = 0, head = 0;
  double skipped = 0;  ///< 1 - touched blocks / all blocks
  double saved = 0;    ///< 1 - ms / ms of the reference; below 0: slower
};
std::vector<HeadWork> head_work(const WorkTable& run, const WorkTable& reference);

/// The same over all calls of all steps, refreshes and searches included.
struct WorkTotals {
  double skipped = 0, saved = 0;
};
WorkTotals work_totals(const WorkTable& run, const WorkTable& reference);

}  // namespace ditscope::views
