#pragma once
#include <string>
#include <vector>

#include "core/media/frames.h"
#include "views/inspect/bitmap.h"
#include "views/inspect/token_geometry.h"
#include "views/state/theme.h"

namespace ditscope::views {

/// Whether a point lies inside a closed outline, by the even-odd rule.
bool inside_outline(const std::vector<Point>& outline, Point at);
/// The visual tokens of the grid frame that shows `video_frame` whose middle lies inside an outline, raster order.
/// @param outline  image px
std::vector<std::int64_t> lasso_tokens(const TokenGeometry& geometry, int video_frame, const std::vector<Point>& outline);

/// How light the pixels of each column are: (X columns, 64 levels, dark below). One picture of a frame's luma, BT.709 weights.
std::shared_ptr<const Bitmap> waveform_bitmap(const Frames& frames, int frame, Rgb ink);
/// Shares of the values 0..1 of each channel in 64 equal parts.
std::vector<std::vector<double>> channel_histograms(const Frames& frames, int frame);

/// Equal panes in rows: beside each other, unless fewer columns make the pictures a quarter larger.
std::vector<Rect> tile_panes(const Rect& area, int count, double picture_ratio, double gap);

}  // namespace ditscope::views
