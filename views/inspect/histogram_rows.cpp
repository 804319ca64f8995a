#include "views/inspect/histogram_rows.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <optional>

#include "views/inspect/plot_values.h"

namespace ditscope::views {
namespace {

/// Every row where that was measured and is not too much, else the sampled ones.
std::vector<float> rows_of(const CaptureReader& reader, int run_id, const char* kind, const InspectCursor& at, int layer, std::int64_t* measured) {
  constexpr std::int64_t kTooMany = 16'000'000;
  std::optional<CaptureArrayInfo> best;
  std::int64_t best_size = 0;
  for (CaptureArrayInfo& info : reader.arrays(run_id, {kind, at.step, layer, at.branch})) {
    std::int64_t size = 1;
    for (const std::int64_t length : info.header.shape) size *= length;
    if (best && (size <= best_size || size > kTooMany)) continue;
    best_size = size;
    best = std::move(info);
  }
  if (!best) return {};
  const std::vector<float> all = reader.values(*best);
  *measured = static_cast<std::int64_t>(all.size());
  const std::size_t stride = (all.size() + LayerRows::kMost - 1) / LayerRows::kMost;
  std::vector<float> some;
  for (std::size_t i = 0; i < all.size(); i += std::max<std::size_t>(stride, 1)) some.push_back(all[i]);
  return some;
}

}  // namespace

Datum<LayerRows> layer_rows(Inspection& inspection, const InspectCursor& at) {
  const CaptureRun& record = inspection.run(at.run).record;
  const int layers = std::max(record.model.layers, 1);
  return inspection.fetch<LayerRows>(
      at.run, "run layer rows " + std::to_string(at.step) + " " + std::to_string(at.branch),
      [at, layers, id = record.run_id](CaptureReader& reader) {
        LayerRows rows;
        for (int layer = 0; layer < layers; ++layer) {
          std::int64_t measured = 0, unused = 0;
          rows.lse.push_back(rows_of(reader, id, "lse_full", at, layer, &measured));
          rows.rho.push_back(rows_of(reader, id, "log_rho", at, layer, &unused));
          for (float& value : rows.rho.back()) value = std::exp(value);
          rows.measured.push_back(measured);
        }
        return rows;
      },
      std::int64_t{8} * layers * static_cast<std::int64_t>(LayerRows::kMost));
}

Violin violin_of(std::vector<float> values, int points) {
  std::erase_if(values, [](float value) { return !std::isfinite(value); });
  Violin violin;
  if (values.empty()) return violin;
  const auto [low, high] = std::minmax_element(values.begin(), values.end());
  violin.low = *low;
  violin.high = *high;
  if (violin.high <= violin.low) {
    violin.median = violin.p25 = violin.p75 = violin.low;
    violin.widths.assign(1, 1.0);
    return violin;
  }
  const std::vector<double> shares = histogram(values, violin.low, violin.high, points);
  // Binomial weights 1 4 6 4 1: a kernel of about one bin.
  constexpr double kWeights[] = {1, 4, 6, 4, 1};
  violin.widths.resize(shares.size());
  for (int i = 0; i < points; ++i) {
    double sum = 0, weight = 0;
    for (int k = -2; k <= 2; ++k) {
      if (i + k < 0 || i + k >= points) continue;
      sum += kWeights[k + 2] * shares[i + k];
      weight += kWeights[k + 2];
    }
    violin.widths[i] = sum / weight;
  }
  const double most = *std::max_element(violin.widths.begin(), violin.widths.end());
  for (double& width : violin.widths) width /= most;
  violin.median = quantile(values, 0.5);
  violin.p25 = quantile(values, 0.25);
  violin.p75 = quantile(values, 0.75);
  return violin;
}

}  // namespace ditscope::views
