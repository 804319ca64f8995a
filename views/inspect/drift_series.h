#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "views/inspect/inspection.h"
#include "views/inspect/plot_axis.h"

namespace ditscope::views {

/// The rows of one head over all steps, as captured: log-sum-exp over all keys and over the kept ones, rho true and used.
struct RowSeries {
  static constexpr int kMostRows = 2048;  ///< rows kept a step, evenly taken; quantiles are of all
  struct Step {
    std::int64_t measured = 0;         ///< rows behind the quantiles of what is true; 0: none
    std::int64_t measured_used = 0;    ///< rows behind those of what was used
    bool every_row = false;            ///< measured on every row, not on the sampled ones
    std::vector<std::int64_t> tokens;  ///< of the values kept, raster order
    std::vector<float> lse_full, rho;  ///< of them; rho empty where it was not measured
    std::vector<std::int64_t> ratio_tokens;
    std::vector<float> ratio;          ///< rho used / rho true of the rows where both are known
  };
  std::vector<Step> steps;  ///< one for each step of the run
  /// Of all rows, one value a step.
  Series lse_full, lse_kept, rho, rho_p05, rho_p10, rho_p25, rho_p75, rho_p90, rho_p95, rho_used, ratio, difference, rows_over_one;
};

/// @param head  -1: the rows of all heads of the layer   @param only  raster tokens, ascending: no other rows; empty: all. Of rows that were not
/// sampled rho used follows as in RowTrack
/// @throws Error as CaptureReader does
RowSeries read_row_series(const CaptureReader& reader, const CaptureRun& run, const TokenGeometry& geometry, int layer, int branch, int head,
                          const std::vector<std::int64_t>& only = {});
Datum<RowSeries> row_series(Inspection& inspection, const InspectCursor& at, bool all_heads, std::vector<std::int64_t> only = {});

/// What every sampled row gained since the last refresh, where all gained the same; none where they did not.
/// @param log_used,log_base  rho used now and rho at the refresh, of the same rows
std::optional<double> shared_gain(const std::vector<float>& log_used, const std::vector<float>& log_base);

/// One row over the steps. Where it is not among the captured rows, the nearest one that is. Rho used is captured for sampled rows;
/// another row's is its rho at the last refresh and what all sampled rows gained since then, where they gained the same.
struct RowTrack {
  std::int64_t token = -1;  ///< raster order, of the row that is shown
  Series lse_full, lse_kept, rho, rho_used, ratio;
};
RowTrack read_row_track(const CaptureReader& reader, const CaptureRun& run, const TokenGeometry& geometry, int layer, int branch, int head,
                        std::int64_t token);
Datum<RowTrack> row_track(Inspection& inspection, const InspectCursor& at, std::int64_t token);

}  // namespace ditscope::views
