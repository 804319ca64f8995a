#pragma once
#include <optional>
#include <string>
#include <vector>

#include "views/inspect/inspection.h"
#include "views/inspect/plot_axis.h"

namespace ditscope::views {

using HeadValues = std::vector<CaptureReader::HeadValue>;

/// Which heads; -1: all.
struct HeadChoice {
  int step = -1, layer = -1, branch = -1, head = -1;
  bool takes(const CaptureReader::HeadValue& value) const {
    return (step < 0 || value.step == step) && (layer < 0 || value.layer == layer) && (branch < 0 || value.branch == branch) &&
           (head < 0 || value.head == head);
  }
};

/// Mean of what is measured, for each step; NaN where nothing is. An infinite value stays one.
Series mean_by_step(const HeadValues& values, int steps, const HeadChoice& choice);

/// A table of two indices; NaN where nothing was measured.
struct ValueGrid {
  int rows = 0, columns = 0;
  std::vector<double> values;  // (rows,columns)
  double at(int row, int column) const { return values[static_cast<std::size_t>(row) * columns + column]; }
  Extent extent() const;
};
ValueGrid mean_by_step_and_layer(const HeadValues& values, int steps, int layers, const HeadChoice& choice);  // (L,S)
ValueGrid mean_by_layer_and_head(const HeadValues& values, int layers, int heads, const HeadChoice& choice);  // (L,H)

/// By step, layer, branch and head, as captures give them.
HeadValues in_order(HeadValues values);
/// The value of the same head of the same call; NaN where there is none. @param values  in order
double value_at(const HeadValues& values, const CaptureReader::HeadValue& place);

/// The same head of the same call in two lists: a / b; NaN where either is missing or b is 0. In the order of `a`.
HeadValues ratio_of(const HeadValues& a, const HeadValues& b);

/// Where the error first passes a tolerance: the earliest step, in it the earliest layer, in it the head that is furthest off.
struct Divergence {
  int step = 0, layer = 0, head = 0, branch = 0;
  double value = 0;
};
std::optional<Divergence> first_divergence(const HeadValues& errors, double tolerance, const HeadChoice& choice = {});

/// What a layer did at each step, as the schedule of the run says: full, refresh, sparse, search, cached. Layer -1: the steps as a
/// whole. Empty where the capture has no such step.
std::vector<std::string> step_actions(const InspectedRun& run, int layer);

/// Quantile q of values that are finite, between the two nearest; NaN where there are none. Reorders them.
double quantile(std::vector<float>& values, double q);

/// Shares of values in `bins` equal parts of low..high; what lies outside counts in the outermost. Not finite: not counted.
std::vector<double> histogram(const std::vector<float>& values, double low, double high, int bins);

}  // namespace ditscope::views
