#pragma once
#include <memory>

#include "views/inspect/view.h"

namespace ditscope::views {

// One function a view; each stands in the file of its name (summary_view.cpp ...).

std::unique_ptr<InspectView> make_summary_view();

}  // namespace ditscope::views
