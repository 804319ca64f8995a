#pragma once
#include <vector>

#include "views/inspect/inspection.h"
#include "views/inspect/plot_axis.h"

namespace ditscope::views {

/// The captured rows of all heads of each layer at one step, thinned evenly.
struct LayerRows {
  static constexpr std::size_t kMost = 16384;  ///< values kept a layer
  std::vector<std::vector<float>> lse, rho;    ///< (L) of values; empty where not measured
  std::vector<std::int64_t> measured;          ///< (L) before thinning
};
Datum<LayerRows> layer_rows(Inspection& inspection, const InspectCursor& at);

/// The outline of a violin: half widths 0..1 at equal distances from `low` to `high`, the widest 1. Smoothed by a small kernel; empty
/// where nothing is finite.
struct Violin {
  double low = 0, high = 0, median = 0, p25 = 0, p75 = 0;
  std::vector<double> widths;
  bool empty() const { return widths.empty(); }
};
Violin violin_of(std::vector<float> values, int points = 48);

}  // namespace ditscope::views
