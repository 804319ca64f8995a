#pragma once
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "views/inspect/token_geometry.h"
#include "views/inspect/view.h"

namespace ditscope::views {

inline constexpr double kPixelValuesFrom = 50;  ///< length a pixel from which its values are written in it

/// A bitmap as a camera sees it in a pane. Clips to the pane.
void paint_picture(Canvas& canvas, const Rect& pane, const Camera& camera, const std::shared_ptr<const Bitmap>& bitmap, double width, double height,
                   bool smooth, float alpha = 1);
/// Letter on the run's colour in the upper left corner, then a name. @return where it ends
double paint_tag(Canvas& canvas, const ViewContext& context, const Rect& pane, int run, char letter, const std::string& name);
/// Text on a plate in a corner of the pane.
void paint_corner(Canvas& canvas, const ViewContext& context, const Rect& pane, const std::string& text, Align horizontal, Align vertical);
/// A value in the upper right corner. @param taken  how far tags reach there
void paint_value(Canvas& canvas, const ViewContext& context, const Rect& pane, const std::string& text, double taken);
/// A token as a box of pixels; dotted where the frame shown is not one of its own.
void paint_token_box(Canvas& canvas, const ViewContext& context, const Rect& pane, const Camera& camera, const TokenPixels& pixels, bool of_this_frame,
                     bool crosshair);
/// Three lines in every visible pixel: red, green, blue.
struct PixelLines {
  std::string lines[3];
  bool bright = false;  ///< the pixel is: black ink
};
/// @param seen  the part of the pane that shows them
void paint_pixel_values(Canvas& canvas, const Rect& pane, const Rect& seen, const Camera& camera, int width, int height, const std::function<PixelLines(int x, int y)>& of);
/// 0..255 of a frame, or of two on top of each other: `share` of the second.
PixelLines pixel_lines(const Frames& frames, int frame, int x, int y);
PixelLines pixel_lines(const Frames& first, int first_frame, const Frames& second, int second_frame, double share, int x, int y);
/// Where the scope of a pane lies: in its lower left corner.
Rect scope_area(const ViewContext& context, const Rect& pane);
/// What lies around an image point, enlarged, in the lower right corner. @param taken_px  of the pane's width by the scope
void paint_magnifier(Canvas& canvas, const ViewContext& context, const Rect& pane, const std::shared_ptr<const Bitmap>& bitmap, Point image, double taken_px);
/// Waveform or histograms of a frame in the lower left corner. @param which  "waveform" or "histogram"   @param of  "A ": before its name
void paint_scope(Canvas& canvas, const ViewContext& context, const Rect& pane, const Frames& frames, int frame, const std::string& which, const std::string& of);
/// "183 24 22"; empty outside the picture.
std::string pixel_text(const Frames& frames, int frame, Point image);

}  // namespace ditscope::views
