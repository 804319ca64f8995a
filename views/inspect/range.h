#pragma once
#include <cstdint>
#include <span>
#include <vector>

#include "views/inspect/colour_map.h"
#include "views/inspect/view.h"

namespace ditscope::views {

/// How often values occur, along an axis.
struct Histogram {
  double low = 0, high = 1;            ///< of the axis, low < high
  std::vector<std::int64_t> counts;    ///< equal bins from low to high
  std::int64_t finite = 0, nan = 0, infinite = 0;
  bool operator==(const Histogram&) const = default;
};

/// Over the extent of the finite values, a little widened; 0..1 where there are none.
Histogram histogram_of(std::span<const float> values, const ValueScale& scale, int bins = 64);
/// Black at the 1st hundredth of the values, white at the last thousandth; the extent where these meet.
/// @param centred  white and black lie symmetric about `centre`, as a diverging map wants it
ValueRange autofit(std::span<const float> values, const ValueScale& scale, bool centred = false, double centre = 0);

/// The colour bar with its histogram and the two handles that set what is black and what is white.
class RangeControl {
 public:
  enum class Handle { None, Black, White };

  ValueRange range;
  Histogram histogram;
  bool always_fit = false;  ///< fit to whatever is shown; else the range stays while comparing

  /// Axis units that the bar spans: the histogram and both handles.
  double low() const;
  double high() const;
  double y_of(double axis, const Rect& area) const;
  double axis_of(double y, const Rect& area) const;
  /// The handle within reach of a point (a grip of 24 units), the nearer one of two.
  Handle pick(Point at, const Rect& area, double unit) const;
  /// Moves a handle; it stops short of the other one.
  void drag(Handle handle, double y, const Rect& area);

  /// Takes presses on the handles and what follows until the release. @return whether the range changed or a drag goes on
  bool pointer(const PointerEvent& event, const Rect& area, double unit);
  bool dragging() const { return dragged_ != Handle::None; }

  /// Bar, histogram, ticks and handles. About 56 units wide.
  void paint(Canvas& canvas, const ViewContext& context, const Rect& area, const ColourMap& map, const ValueScale& scale) const;

 private:
  Handle dragged_ = Handle::None;
  double frozen_low_ = 0, frozen_high_ = 0;  ///< the bar's span while a handle is dragged
};

/// Positions of round numbers on an axis, at most `most` of them; whole decades of a logarithm where there are two.
std::vector<double> axis_ticks(double low, double high, const ValueScale& scale, int most);

}  // namespace ditscope::views
