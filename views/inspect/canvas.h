#pragma once
#include <memory>
#include <string_view>
#include <vector>

#include "views/inspect/bitmap.h"
#include "views/state/camera.h"
#include "views/state/theme.h"

namespace ditscope::views {

/// sRGB and alpha, 0..1.
struct Colour {
  Rgb rgb;
  float alpha = 1;
  Colour() = default;
  Colour(Rgb colour, float opacity = 1) : rgb(colour), alpha(opacity) {}
};

enum class Face { Words, WordsStrong, Numbers };
enum class Align { Begin, Middle, End };
enum class Dash { Solid, Dashed, Dotted };

struct TextStyle {
  Face face = Face::Words;
  double size = 12;  ///< type size at text scale 1, as in tokens.json
  Colour colour;
  Align horizontal = Align::Begin, vertical = Align::Begin;  ///< which edge of the text lies at the point
  bool upwards = false;                                      ///< turned by 90 degrees, read from below
  bool halo = false;                                         ///< 1 px of the view's background around it: text over data
};

/// What the views of the inspector draw on: an ImGui draw list in the window, Cairo for PNG, SVG and PDF. So an exported figure is
/// the very picture on the screen. Lengths are view px, y down; a length of 1 at text scale 1 is `unit()` px.
class Canvas {
 public:
  virtual ~Canvas() = default;
  /// px per unit of length: the text scale. Widths of lines, gaps and type sizes are multiplied by it inside; positions are not.
  virtual double unit() const = 0;

  virtual void fill(const Rect& rect, const Colour& colour, double radius = 0) = 0;
  virtual void outline(const Rect& rect, const Colour& colour, double width = 1, Dash dash = Dash::Solid) = 0;
  virtual void line(Point from, Point to, const Colour& colour, double width = 1, Dash dash = Dash::Solid) = 0;
  /// A point that is not finite breaks the line: a gap is never bridged.
  virtual void polyline(const std::vector<Point>& points, const Colour& colour, double width = 1, Dash dash = Dash::Solid) = 0;
  /// Between two curves over the same x; gaps as in polyline().
  virtual void band(const std::vector<Point>& low, const std::vector<Point>& high, const Colour& colour) = 0;
  virtual void triangle(Point a, Point b, Point c, const Colour& colour) = 0;
  virtual void circle(Point centre, double radius, const Colour& colour, bool filled = true) = 0;
  /// `source` in pixels of the bitmap. Nearest neighbour unless `smooth`: maps and masks are never smoothed.
  virtual void image(const std::shared_ptr<const Bitmap>& bitmap, const Rect& target, const Rect& source, bool smooth = false,
                     float alpha = 1) = 0;

  virtual void text(Point at, std::string_view text, const TextStyle& style) = 0;
  virtual double text_width(std::string_view text, const TextStyle& style) const = 0;  ///< px

  virtual void push_clip(const Rect& rect) = 0;  ///< intersected with the clip before
  virtual void pop_clip() = 0;
};

}  // namespace ditscope::views
