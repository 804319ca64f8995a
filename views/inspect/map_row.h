#pragma once
#include <memory>
#include <string>
#include <vector>

#include "views/inspect/map_axes.h"
#include "views/inspect/colour_map.h"
#include "views/inspect/map_data.h"

namespace ditscope::views {

/// The softmax of one query over all keys, as exact as it is to be had, and what the mask keeps of it.
struct RowProfile {
  std::int64_t query = -1;          ///< raster token
  std::vector<float> probability;   // (T) raster order
  std::vector<std::uint8_t> kept;   // (T) raster order
  bool exact = false;
  bool settled = false;             ///< nothing better is on its way
  std::string how;                  ///< "exact, recomputed from q and k", "mean of 64 x 64 tokens"
  std::string problem;              ///< why it is not exact where it should be
  double kept_mass = 1;             ///< share of the row that the mask keeps
  double log_sum_exp = 0;           ///< of an exact row
};

/// The row of a query: exact where q and k are to be had, else from the map; null while neither is there.
/// @param at    whose softmax    @param mask_at  whose mask    @param problem  why there is none
std::shared_ptr<const RowProfile> row_profile(Inspection& inspection, const InspectCursor& at, const InspectCursor& mask_at, std::int64_t query,
                                              bool allow_exact, std::string* problem);

/// Bars over the key axis: kept in the run's colour, skipped grey, highest of the keys under each px.
/// @param range  log10 of what is at the foot and at the top
void paint_profile(Canvas& canvas, const ViewContext& context, const MapAxes& axes, const Rect& area, const RowProfile& row, const ValueRange& range,
                   int run);

/// The first locked token, else the hovered query, else -1.
std::int64_t row_query(const Inspection& inspection);

/// "2.81e-3" of a probability.
std::string probability_text(double p);

}  // namespace ditscope::views
