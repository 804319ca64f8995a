#include "app/gui/worker/job.h"

#include <algorithm>

namespace ditscope::gui {

bool JobView::finished() const {
  return std::all_of(runs.begin(), runs.end(), [](const auto& run) { return run->state == RunState::Done; });
}

bool JobView::stopped() const {
  return std::any_of(runs.begin(), runs.end(), [](const auto& run) { return run->state == RunState::Stopped; });
}

bool JobView::failed() const {
  return std::any_of(runs.begin(), runs.end(), [](const auto& run) { return run->state == RunState::Failed; });
}

std::size_t JobView::current() const {
  for (std::size_t i = 0; i < runs.size(); ++i) {
    if (runs[i]->state == RunState::Running) return i;
  }
  for (std::size_t i = 0; i < runs.size(); ++i) {
    if (runs[i]->state == RunState::Waiting) return i;
  }
  return runs.size();
}

}  // namespace ditscope::gui
