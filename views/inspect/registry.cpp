#include <functional>
#include <map>

#include "kernels/error.h"
#include "views/inspect/view.h"
#include "views/inspect/views.h"

namespace ditscope::views {
namespace {

struct Entry {
  const char* id;
  std::unique_ptr<InspectView> (*make)();
};

/// In the order of docs/inspector.md.
constexpr Entry kViews[] = {
    {"summary", make_summary_view},
    {"heads", make_heads_view},
    {"map", make_map_view},
    {"rows", make_rows_view},
    {"qk", make_qk_view},
    {"mask", make_mask_view},
    {"overlap", make_overlap_view},
    {"age", make_age_view},
    {"drift", make_drift_view},
    {"histogram", make_histogram_view},
    {"violin", make_violin_view},
    {"layer_head", make_layer_head_view},
    {"error", make_error_view},
    {"outputs", make_outputs_view},
    {"timeline", make_timeline_view},
};

}  // namespace

const std::vector<std::string>& inspect_view_ids() {
  static const std::vector<std::string> kIds = [] {
    std::vector<std::string> ids;
    for (const Entry& entry : kViews) ids.emplace_back(entry.id);
    return ids;
  }();
  return kIds;
}

std::unique_ptr<InspectView> make_inspect_view(const std::string& id) {
  std::string known;
  for (const Entry& entry : kViews) {
    if (id == entry.id) return entry.make();
    known += (known.empty() ? "" : ", ") + std::string(entry.id);
  }
  throw Error{ErrorKind::NotFound, "there is no view '" + id + "'; there are: " + known};
}

}  // namespace ditscope::views
