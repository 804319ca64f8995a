#pragma once
#include <memory>

#include "views/inspect/view.h"

namespace ditscope::views {

// One function a view; each stands in the file of its name (summary_view.cpp ...).

std::unique_ptr<InspectView> make_summary_view();
std::unique_ptr<InspectView> make_drift_view();
std::unique_ptr<InspectView> make_histogram_view();
std::unique_ptr<InspectView> make_violin_view();
std::unique_ptr<InspectView> make_layer_head_view();
std::unique_ptr<InspectView> make_error_view();
std::unique_ptr<InspectView> make_outputs_view();
std::unique_ptr<InspectView> make_timeline_view();
std::unique_ptr<InspectView> make_heads_view();
std::unique_ptr<InspectView> make_map_view();
std::unique_ptr<InspectView> make_rows_view();
std::unique_ptr<InspectView> make_qk_view();
std::unique_ptr<InspectView> make_mask_view();
std::unique_ptr<InspectView> make_overlap_view();
std::unique_ptr<InspectView> make_age_view();

}  // namespace ditscope::views
