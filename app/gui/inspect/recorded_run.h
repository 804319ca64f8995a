#pragma once
#include <filesystem>

namespace ditscope::gui {

/// resources/captures/tour.ditcap: $DITSCOPE_CAPTURES, beside the installed program, or in the source tree, first found.
/// @throws Error{NotFound} naming the places
std::filesystem::path recorded_run();

}  // namespace ditscope::gui
