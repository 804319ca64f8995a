#pragma once
#include <string>
#include <vector>

#include "views/gl/imgui_qt.h"
#include "views/state/compare.h"
#include "views/state/theme.h"

namespace ditscope::views {

/// What the overlay of the compare view draws over the panes.
struct CompareOverlay {
  struct Run {
    char letter = 'A';
    int index = 0;        ///< 0 A, 1 B ...: its colour
    std::string name;     ///< "Re-ttention"
    std::string seconds;  ///< "32.3 s", empty while unknown
    const Frames* frames = nullptr;
    int frame = 0;
  };
  Run first, second;
  double p99 = 0;  ///< difference of the pair
  bool flickering = false;
  bool focused = false;
  bool wipe_hovered = false;
};

/// What the user did to the overlay's own controls.
struct CompareIntents {
  bool range_changed = false;
  double range = 0;  ///< 0: back to the percentile
};

/// Tags, wipe line and handle, pixel values from 50 view px a pixel, the difference legend with its range. Between begin() and
/// end() of `imgui`.
CompareIntents draw_compare_overlay(const CompareOverlay& overlay, const CompareState& state, const std::vector<Pane>& panes,
                                    const Camera& camera, const Theme& theme, const gl::ImGuiQt& imgui, double text_scale);

}  // namespace ditscope::views
