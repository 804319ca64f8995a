#pragma once
#include <string>
#include <vector>

#include "core/study/statistics.h"

namespace ditscope::study {

/// Text as it may stand in HTML and in attributes.
std::string escaped(const std::string& text);

/// A number with so many digits after the point; "–" where it is not finite.
std::string number_text(double value, int digits);

struct PlotPoint {
  double x = 0;
  Interval y;
};
struct PlotLine {
  std::string name;
  std::vector<PlotPoint> points;
  bool connected = true;
};
/// A level across the whole plot: full attention, the noise floor.
struct PlotLevel {
  std::string name;
  double y = 0;
};
struct Plot {
  std::string title, x_label, y_label;
  bool x_logarithmic = true;
  std::vector<PlotLine> lines;
  std::vector<PlotLevel> levels;
};

/// An inline SVG element: intervals as bars, a legend beside it. A plot without points is a sentence that says so.
std::string svg(const Plot& plot);

}  // namespace ditscope::study
