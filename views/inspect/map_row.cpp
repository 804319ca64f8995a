#include "views/inspect/map_row.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "views/inspect/colour_map.h"

namespace ditscope::views {

std::int64_t row_query(const Inspection& inspection) {
  if (!inspection.locked().empty()) return inspection.locked().front();
  return inspection.hover().query;
}

std::string probability_text(double p) { return exponent_text(p, 2); }

std::shared_ptr<const RowProfile> row_profile(Inspection& inspection, const InspectCursor& at, const InspectCursor& mask_at, std::int64_t query, bool allow_exact,
                                              std::string* problem) {
  const InspectedRun& run = inspection.run(at.run);
  const TokenGeometry& geometry = run.geometry;
  problem->clear();
  if (query < 0 || query >= geometry.tokens()) {
    *problem = inspection.exact_row(at, query).problem;  // no token
    return nullptr;
  }
  auto row = std::make_shared<RowProfile>();
  row->query = query;
  Datum<Inspection::ExactRow> exact;
  if (allow_exact) exact = inspection.exact_row(at, query);
  if (exact) {
    row->probability = exact->probability;
    row->log_sum_exp = exact->log_sum_exp;
    row->exact = true;
    row->how = "exact, recomputed from q and k";
  } else {
    const Datum<MapLevel> level = map_level(inspection, at, {});
    if (!level) {
      *problem = level.problem;
      return nullptr;
    }
    const int cells = level->cells(), line = level->cell_of(geometry.to_call(query));
    row->probability.resize(static_cast<std::size_t>(geometry.tokens()));
    for (int cell = 0; cell < cells; ++cell) {
      for (std::int64_t token = level->edges[cell]; token < level->edges[cell + 1]; ++token) {
        row->probability[static_cast<std::size_t>(geometry.from_call(token))] = level->density[static_cast<std::size_t>(line) * cells + cell];
      }
    }
    row->how = "mean of " + std::to_string(level->block_tokens) + " x " + std::to_string(level->block_tokens) + " tokens" +
               (exact.loading() && allow_exact ? "; the exact row is on its way" : "; the exact value needs q and k");
    row->problem = exact.problem;
  }
  row->kept.assign(row->probability.size(), 1);
  const Datum<CapturePlan> plan = inspection.plan(mask_at);
  row->settled = !plan.loading() && (row->exact || !allow_exact || !exact.loading());
  if (plan && !plan->dense() && plan->tokens == geometry.tokens()) {
    const TokenGeometry& of_mask = inspection.run(mask_at.run).geometry;
    const std::vector<std::uint8_t> kept = plan->row(of_mask.to_call(query));
    for (std::size_t call = 0; call < kept.size(); ++call) row->kept[static_cast<std::size_t>(of_mask.from_call(static_cast<std::int64_t>(call)))] = kept[call];
  }
  double all = 0, mass = 0;
  for (std::size_t i = 0; i < row->probability.size(); ++i) {
    if (!std::isfinite(row->probability[i])) continue;
    all += row->probability[i];
    if (row->kept[i]) mass += row->probability[i];
  }
  row->kept_mass = all > 0 ? mass / all : 1;
  return row;
}

void paint_profile(Canvas& canvas, const ViewContext& context, const MapAxes& axes, const Rect& area, const RowProfile& row, const ValueRange& range, int run) {
  canvas.push_clip(area);
  const AxisRun keys = axes.keys();
  const Colour kept = context.theme.run(run), skipped(context.theme.colour("edge"));
  const auto height_of = [&](double p) {
    if (!(p > 0)) return 0.0;
    return std::clamp(range.position(std::log10(p)), 0.0, 1.0) * area.height;
  };
  const double step = std::max(1 / context.ratio, area.width / 2000);
  for (double x = area.x; x < area.right(); x += step) {
    const double from = std::max(axes.place_at_x(x), static_cast<double>(keys.begin)), to = std::min(axes.place_at_x(x + step), static_cast<double>(keys.end));
    if (to <= from) continue;
    double best[2] = {0, 0};
    bool wrong = false;
    const auto last = std::min(static_cast<std::int64_t>(std::ceil(to)), keys.end);
    for (auto place = static_cast<std::int64_t>(from); place < last; ++place) {
      const auto token = static_cast<std::size_t>(axes.token_of(place));
      const double p = row.probability[token];
      wrong |= !std::isfinite(p);
      if (p > best[row.kept[token]]) best[row.kept[token]] = p;
    }
    const bool kept_higher = best[1] >= best[0];
    const auto bar = [&](double p, const Colour& colour) {
      if (const double height = height_of(p); height > 0) canvas.fill({x, area.bottom() - height, step, height}, colour);
    };
    if (wrong) canvas.fill({x, area.y, step, area.height}, ColourMap::kNan);
    bar(kept_higher ? best[1] : best[0], kept_higher ? kept : skipped);
    bar(kept_higher ? best[0] : best[1], kept_higher ? skipped : kept);
  }
  canvas.pop_clip();
}

}  // namespace ditscope::views
