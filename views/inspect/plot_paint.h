#pragma once
#include <string>
#include <vector>

#include "views/inspect/plot_axis.h"
#include "views/inspect/plot_values.h"
#include "views/inspect/view.h"

namespace ditscope::views {

// Ink of the theme in the sizes of its type.
TextStyle tick_style(const ViewContext& context);                               ///< 11, numbers, text3
TextStyle label_style(const ViewContext& context, const char* token = "text2"); ///< 12, words
TextStyle strong_style(const ViewContext& context);                             ///< 12, strong words, text
TextStyle number_style(const ViewContext& context, const char* token = "text"); ///< 12, numbers

/// NaN red and Inf green, as everywhere.
Colour nan_colour();
Colour inf_colour();
/// Diagonal lines: full steps and warm-up. @param gap  length between them
void paint_hatch(Canvas& canvas, const Rect& rect, const Colour& colour, double gap = 5);
/// A text with its own dark or light ground, for words over data. @return its rectangle
Rect paint_plate(Canvas& canvas, const ViewContext& context, Point at, const std::string& text, TextStyle style);
/// As much of a text as fits, ending in "...".
std::string fit_text(const Canvas& canvas, const std::string& text, const TextStyle& style, double width);
/// "Name        value" on one line; the value ends at `right`.
void paint_readout(Canvas& canvas, const ViewContext& context, double left, double right, double y, const std::string& name,
                   const std::string& value, const char* token = "text");

/// One plot: a rectangle with two axes on which values are drawn. Draws nothing outside its rectangle but the labels of its axes.
class Plot {
 public:
  /// @param x,y  low, high and scale; where they lie follows from `area`
  Plot(Canvas& canvas, const ViewContext& context, const Rect& area, PlotAxis x, PlotAxis y);

  const Rect& area() const { return area_; }
  const PlotAxis& x() const { return x_; }
  const PlotAxis& y() const { return y_; }

  void ground() const;
  /// Ticks at the left edge; lines across where `lines`.
  void y_ticks(int most, bool lines = true) const;
  void x_ticks(int most) const;
  /// Name in strong words and unit under it, at the left of the ticks.
  void y_name(double left, const std::string& name, const std::string& unit) const;
  /// "step" and its round numbers below the plot, the cursor's as a plate.
  void step_ticks(double left, int steps, int cursor) const;

  void hatch_steps(const std::vector<std::string>& actions) const;   ///< full steps
  void mark_refreshes(const std::vector<std::string>& actions) const; ///< dotted line and a triangle at the upper edge
  void level(double value, const Colour& colour, Dash dash) const;
  /// Where a value stands alone it is a dot; infinite ones are triangles at the edge.
  void curve(const Series& series, const Colour& colour, double width = 1.5, Dash dash = Dash::Solid) const;
  void staircase(const Series& series, const Colour& colour, double width = 1.5, Dash dash = Dash::Solid) const;
  void band(const Series& low, const Series& high, const Colour& colour) const;
  void bars(const Series& series, double from, const Colour& above, const Colour& below) const;
  void cursor(double value) const;
  /// Words beside the last measured value of each curve, apart from each other.
  struct Label {
    const Series* series = nullptr;
    std::string text;
    Colour colour;
  };
  void end_labels(const std::vector<Label>& labels) const;  ///< as many as fit below each other
  /// As much of a text as fits beside the labels.
  void note(const std::string& text, Align horizontal, Align vertical, const char* token = "text2") const;

 private:
  void dots(const Series& series, const Colour& colour, double width) const;
  Canvas& canvas_;
  const ViewContext& context_;
  Rect area_;
  PlotAxis x_, y_;
  mutable std::vector<Rect> labels_;  ///< where they stand
};

/// An axis of steps 0 .. steps-1, each in the middle of a column.
PlotAxis step_axis(int steps);

}  // namespace ditscope::views
