#include "core/attention/schedule.h"

#include <algorithm>

namespace ditscope {

StepKind Schedule::at(int step, int layer) const {
  // A sampler that evaluates the model more often than announced goes on as in the last step.
  const int s = std::clamp(step, 0, steps - 1), l = std::clamp(layer, 0, layers - 1);
  return cells[static_cast<std::size_t>(s) * layers + l];
}

double Schedule::average_kept(double sparse_kept) const {
  double sum = 0;
  for (const StepKind kind : cells) {
    switch (kind) {
      case StepKind::Full:
      case StepKind::Search:
        sum += 1;
        break;
      case StepKind::Refresh:
        sum += 1 + sparse_kept;
        break;
      case StepKind::Sparse:
        sum += sparse_kept;
        break;
      case StepKind::Cached:
        break;
    }
  }
  return cells.empty() ? 1 : sum / static_cast<double>(cells.size());
}

double Schedule::ceiling(double sparse_kept) const {
  return 1 / average_kept(sparse_kept);
}

int latest_search(const std::vector<int>& search_steps, int step) {
  int latest = -1;
  for (const int search : search_steps) {
    if (search <= step) latest = search;
  }
  return latest;
}

Schedule make_schedule(const ScheduleRule& rule, int steps, int layers) {
  Schedule schedule{std::max(steps, 1), std::max(layers, 1), {}};
  for (int step = 0; step < schedule.steps; ++step) {
    StepKind kind = StepKind::Sparse;
    if (step < rule.warmup_steps)
      kind = StepKind::Full;
    else if (rule.refresh_period > 0 && (step - rule.warmup_steps) % rule.refresh_period == 0)
      kind = rule.refresh_kind;
    else if (std::find(rule.search_steps.begin(), rule.search_steps.end(), step) != rule.search_steps.end())
      kind = rule.search_kind;
    for (int layer = 0; layer < schedule.layers; ++layer) {
      schedule.cells.push_back(layer < rule.dense_layers ? StepKind::Full : kind);
    }
  }
  return schedule;
}

}  // namespace ditscope
