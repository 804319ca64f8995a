#pragma once
#include <filesystem>
#include <memory>
#include <string>

#include "core/media/frames.h"
#include "views/inspect/view.h"

namespace ditscope::views {

/// A sheet to paint a view on.
struct Sheet {
  int width_px = 900, height_px = 700;  ///< view px
  double ratio = 1;                     ///< device px per view px; for print, DPI / 96
  double unit = 1;                      ///< text scale
};

/// Canvas over Cairo: pixels (also PNG), SVG or PDF, in memory. Maps stay sharp in all of them.
class CairoCanvas final : public Canvas {
 public:
  enum class Format { Pixels, Svg, Pdf };
  /// @throws Error{InvalidArgument} for a sheet without area or with a side over 32,767 device px; Error{OutOfMemory}
  CairoCanvas(Format format, const Sheet& sheet, const Theme& theme);
  ~CairoCanvas() override;

  double unit() const override;
  void fill(const Rect& rect, const Colour& colour, double radius = 0) override;
  void outline(const Rect& rect, const Colour& colour, double width = 1, Dash dash = Dash::Solid) override;
  void line(Point from, Point to, const Colour& colour, double width = 1, Dash dash = Dash::Solid) override;
  void polyline(const std::vector<Point>& points, const Colour& colour, double width = 1, Dash dash = Dash::Solid) override;
  void band(const std::vector<Point>& low, const std::vector<Point>& high, const Colour& colour) override;
  void triangle(Point a, Point b, Point c, const Colour& colour) override;
  void circle(Point centre, double radius, const Colour& colour, bool filled = true) override;
  void image(const std::shared_ptr<const Bitmap>& bitmap, const Rect& target, const Rect& source, bool smooth = false,
             float alpha = 1) override;
  void text(Point at, std::string_view text, const TextStyle& style) override;
  double text_width(std::string_view text, const TextStyle& style) const override;
  void push_clip(const Rect& rect) override;
  void pop_clip() override;

  /// Pixels only: what was painted so far, alpha not premultiplied.
  std::shared_ptr<const Bitmap> bitmap() const;
  /// Pixels only: the same as a frame of a video. @param frames  of the sheet's size in device px
  void copy_to(Frames& frames, int index) const;
  /// Ends painting. @return the bytes of a PNG, SVG or PDF file   @throws Error{Device, OutOfMemory}
  std::string finish();

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

/// Paints a view on the panel colour, as its dock does.
void paint_view(Canvas& canvas, InspectView& view, Inspection& inspection, const InspectCursor& cursor, const Theme& theme,
                const Sheet& sheet);

/// Writes a view as PNG, SVG or PDF, by the ending; the file is whole or not there.
/// @throws Error{InvalidArgument} for another ending or an impossible sheet; Error{Device}
void export_view(InspectView& view, Inspection& inspection, const InspectCursor& cursor, const Theme& theme, const Sheet& sheet,
                 const std::filesystem::path& file);

}  // namespace ditscope::views
