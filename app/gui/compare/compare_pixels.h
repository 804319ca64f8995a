#pragma once
#include <QImage>
#include <vector>

#include "views/panels/compare_overlay.h"
#include "views/state/compare.h"

namespace ditscope::gui {

/// The compare view without OpenGL: panes, wipe line, tags, range of the difference. What the shader computes, pixel by pixel.
QImage draw_compare_pixels(QSize size_px, double ratio, const views::CompareState& state, const std::vector<views::Pane>& panes,
                           const views::Camera& camera, const views::CompareOverlay& overlay);

}  // namespace ditscope::gui
