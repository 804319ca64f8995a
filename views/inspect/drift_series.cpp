#include "views/inspect/drift_series.h"

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <map>
#include <numeric>
#include <optional>

#include "views/inspect/plot_values.h"

namespace ditscope::views {
namespace {

constexpr double kNone = std::numeric_limits<double>::quiet_NaN();

/// The arrays of a step: those of every row, and those of the sampled rows.
struct Found {
  std::optional<CaptureArrayInfo> every, sampled;
};
using FoundSteps = std::map<int, Found>;

FoundSteps find_steps(const CaptureReader& reader, int run_id, const char* kind, int layer, int branch) {
  FoundSteps steps;
  for (CaptureArrayInfo& info : reader.arrays(run_id, {kind, {}, layer, branch})) {
    Found& found = steps[info.header.step];
    (info.header.source == "sampled" ? found.sampled : found.every) = std::move(info);
  }
  return steps;
}

struct Arrays {
  FoundSteps lse_full, log_rho, log_rho_used;
  std::vector<std::int64_t> sampled_rows;  ///< call tokens

  Arrays(const CaptureReader& reader, int run_id, int layer, int branch)
      : lse_full(find_steps(reader, run_id, "lse_full", layer, branch)),
        log_rho(find_steps(reader, run_id, "log_rho", layer, branch)),
        log_rho_used(find_steps(reader, run_id, "log_rho_used", layer, branch)) {
    if (const auto ids = reader.find(run_id, {"row_ids", {}, {}, {}})) {
      for (const float token : reader.values(*ids)) sampled_rows.push_back(static_cast<std::int64_t>(token));
    }
  }
};

/// One head of an array, or all of them one after the other; empty where there is none or it has another length.
std::vector<float> values_of(const CaptureReader& reader, const std::optional<CaptureArrayInfo>& info, int head, std::size_t rows) {
  if (!info || info->header.shape.size() != 2 || info->header.shape[1] != static_cast<std::int64_t>(rows)) return {};
  if (head >= info->header.shape[0]) return {};
  return head < 0 ? reader.values(*info) : reader.values(*info, head, 1);
}

Found at_step(const FoundSteps& steps, int step) {
  const auto it = steps.find(step);
  return it == steps.end() ? Found{} : it->second;
}

/// Values of a step: of every row where they were measured, else of the sampled ones.
struct Measured {
  bool every = false;
  std::vector<float> lse_full, log_rho;              ///< equal lengths, or empty
  std::vector<float> log_rho_sampled, log_rho_used;  ///< of the sampled rows
};

Measured read_step(const CaptureReader& reader, const Arrays& arrays, int step, int head, std::size_t tokens) {
  const std::size_t sampled = arrays.sampled_rows.size();
  const Found lse = at_step(arrays.lse_full, step), rho = at_step(arrays.log_rho, step), used = at_step(arrays.log_rho_used, step);
  Measured measured;
  measured.lse_full = values_of(reader, lse.every, head, tokens);
  measured.log_rho = values_of(reader, rho.every, head, tokens);
  measured.every = !measured.lse_full.empty();
  measured.log_rho_sampled = values_of(reader, rho.sampled, head, sampled);
  if (!measured.every) {
    measured.lse_full = values_of(reader, lse.sampled, head, sampled);
    measured.log_rho = measured.log_rho_sampled;
  }
  measured.log_rho_used = values_of(reader, used.sampled, head, sampled);
  return measured;
}

void size_all(RowSeries& series, std::size_t steps) {
  series.steps.resize(steps);
  for (Series* each : {&series.lse_full, &series.lse_kept, &series.rho, &series.rho_p05, &series.rho_p10, &series.rho_p25, &series.rho_p75,
                       &series.rho_p90, &series.rho_p95, &series.rho_used, &series.ratio, &series.difference, &series.rows_over_one}) {
    each->assign(steps, kNone);
  }
}

/// Only the rows of some tokens: fewer values, and the call tokens that they are of. Nothing wanted in particular: all stay.
std::vector<std::int64_t> keep_rows(std::vector<float>& values, const std::vector<std::int64_t>& call_tokens, const std::vector<std::uint8_t>& wanted) {
  std::vector<std::int64_t> kept;
  if (wanted.empty()) return kept;
  std::vector<float> left;
  for (std::size_t i = 0; i < values.size(); ++i) {
    const std::int64_t call = call_tokens[i % call_tokens.size()];
    if (!wanted[static_cast<std::size_t>(call)]) continue;
    kept.push_back(call);
    left.push_back(values[i]);
  }
  values = std::move(left);
  return kept;
}

}  // namespace

RowSeries read_row_series(const CaptureReader& reader, const CaptureRun& run, const TokenGeometry& geometry, int layer, int branch, int head,
                          const std::vector<std::int64_t>& only) {
  const Arrays arrays(reader, run.run_id, layer, branch);
  const auto tokens = static_cast<std::size_t>(geometry.tokens());
  RowSeries series;
  size_all(series, static_cast<std::size_t>(std::max(run.steps, 0)));
  std::vector<std::uint8_t> wanted(only.empty() ? 0 : tokens, 0);
  for (const std::int64_t token : only) wanted[static_cast<std::size_t>(geometry.to_call(token))] = 1;
  std::vector<std::int64_t> every(tokens);
  std::iota(every.begin(), every.end(), 0);
  std::vector<float> base, base_sampled;  // log rho at the last refresh: of the rows, and of the sampled ones
  const auto call_of = [](const std::vector<std::int64_t>& chosen, const std::vector<std::int64_t>& all, std::size_t i) {
    return chosen.empty() ? all[i % all.size()] : chosen[i];
  };
  for (int step = 0; step < run.steps; ++step) {
    Measured now = read_step(reader, arrays, step, head, tokens);
    RowSeries::Step& kept = series.steps[step];
    const std::vector<float> all_used = now.log_rho_used, all_sampled = now.log_rho_sampled;
    const std::vector<std::int64_t>& measured = now.every ? every : arrays.sampled_rows;
    if (now.log_rho.size() == now.lse_full.size()) keep_rows(now.log_rho, measured, wanted);
    const std::vector<std::int64_t> calls = keep_rows(now.lse_full, measured, wanted);
    if (now.log_rho_used.size() == now.log_rho_sampled.size()) keep_rows(now.log_rho_sampled, arrays.sampled_rows, wanted);
    std::vector<std::int64_t> used_calls = keep_rows(now.log_rho_used, arrays.sampled_rows, wanted);
    // None of the rows was sampled: what was used follows from their rho at the refresh, as for a single row.
    const auto gain = only.empty() || !now.log_rho_used.empty() ? std::nullopt : shared_gain(all_used, base_sampled);
    if (gain && now.every && now.log_rho.size() == base.size()) {
      for (const float log_rho : base) now.log_rho_used.push_back(static_cast<float>(std::log(std::exp(log_rho) + *gain)));
      now.log_rho_sampled = now.log_rho;
      used_calls = calls;
    }
    if (all_used.empty() && !all_sampled.empty()) {
      base_sampled = all_sampled;
      base = now.log_rho;
    }
    if (!now.lse_full.empty()) {
      kept.measured = static_cast<std::int64_t>(now.lse_full.size());
      kept.every_row = now.every;
      const std::size_t stride = (now.lse_full.size() + RowSeries::kMostRows - 1) / RowSeries::kMostRows;
      const bool has_rho = now.log_rho.size() == now.lse_full.size();
      for (std::size_t i = 0; i < now.lse_full.size(); i += stride) {
        kept.tokens.push_back(geometry.from_call(call_of(calls, measured, i)));
        kept.lse_full.push_back(now.lse_full[i]);
        if (has_rho) kept.rho.push_back(std::exp(now.log_rho[i]));
      }
      std::vector<float> sums;
      for (std::size_t i = 0; has_rho && i < now.lse_full.size(); ++i) sums.push_back(now.lse_full[i] + now.log_rho[i]);
      series.lse_full[step] = quantile(now.lse_full, 0.5);
      series.lse_kept[step] = quantile(sums, 0.5);
    }
    std::vector<float> differences;
    if (now.log_rho_used.size() == now.log_rho_sampled.size()) {
      for (std::size_t i = 0; i < now.log_rho_used.size(); ++i) {
        kept.ratio_tokens.push_back(geometry.from_call(call_of(used_calls, arrays.sampled_rows, i)));
        kept.ratio.push_back(std::exp(now.log_rho_used[i] - now.log_rho_sampled[i]));
        differences.push_back(std::exp(now.log_rho_used[i]) - std::exp(now.log_rho_sampled[i]));
      }
    }
    std::vector<float> ratios = kept.ratio;
    series.ratio[step] = quantile(ratios, 0.5);
    series.difference[step] = quantile(differences, 0.5);
    kept.measured_used = static_cast<std::int64_t>(now.log_rho_used.size());
    if (kept.measured_used > 0) {
      const auto over = std::count_if(now.log_rho_used.begin(), now.log_rho_used.end(), [](float value) { return value > 0; });
      series.rows_over_one[step] = static_cast<double>(over) / static_cast<double>(kept.measured_used);
      series.rho_used[step] = std::exp(quantile(now.log_rho_used, 0.5));
    }
    const std::pair<Series*, double> wanted[] = {{&series.rho, 0.5},      {&series.rho_p05, 0.05}, {&series.rho_p10, 0.1}, {&series.rho_p25, 0.25},
                                                 {&series.rho_p75, 0.75}, {&series.rho_p90, 0.9},  {&series.rho_p95, 0.95}};
    for (const auto& [into, q] : wanted) (*into)[step] = std::exp(quantile(now.log_rho, q));
  }
  return series;
}

Datum<RowSeries> row_series(Inspection& inspection, const InspectCursor& at, bool all_heads, std::vector<std::int64_t> only) {
  const InspectedRun& run = inspection.run(at.run);
  const int head = all_heads ? -1 : at.head;
  std::string key = "run rows " + std::to_string(at.layer) + " " + std::to_string(at.branch) + " " + (all_heads ? "all" : std::to_string(at.head));
  std::erase_if(only, [&](std::int64_t token) { return token < 0 || token >= run.geometry.tokens(); });
  std::sort(only.begin(), only.end());
  for (const std::int64_t token : only) key += " " + std::to_string(token);
  return inspection.fetch<RowSeries>(
      at.run, key,
      [record = run.record, geometry = run.geometry, at, head, only](CaptureReader& reader) {
        return read_row_series(reader, record, geometry, at.layer, at.branch, head, only);
      },
      std::int64_t{run.record.steps} * std::min<std::int64_t>(RowSeries::kMostRows, run.record.tokens()) * 28);
}

std::optional<double> shared_gain(const std::vector<float>& log_used, const std::vector<float>& log_base) {
  constexpr double kRounding = 3e-3;  // of two half floats
  if (log_used.empty() || log_used.size() != log_base.size()) return std::nullopt;
  double low = std::numeric_limits<double>::infinity(), high = -low;
  for (std::size_t i = 0; i < log_used.size(); ++i) {
    const double gain = std::exp(log_used[i]) - std::exp(log_base[i]);
    if (std::isnan(gain)) return std::nullopt;
    low = std::min(low, gain);
    high = std::max(high, gain);
  }
  if (!(high - low <= kRounding)) return std::nullopt;
  return (low + high) / 2;
}

RowTrack read_row_track(const CaptureReader& reader, const CaptureRun& run, const TokenGeometry& geometry, int layer, int branch, int head,
                        std::int64_t token) {
  const Arrays arrays(reader, run.run_id, layer, branch);
  const auto tokens = static_cast<std::size_t>(geometry.tokens());
  const std::int64_t wanted = geometry.to_call(token);
  // A row that was sampled is known whole. Any other one is known where every row was measured; where that is nowhere, the nearest
  // sampled row stands for it.
  const auto& rows = arrays.sampled_rows;
  auto nearest = std::min_element(rows.begin(), rows.end(), [&](std::int64_t a, std::int64_t b) { return std::llabs(a - wanted) < std::llabs(b - wanted); });
  const bool everywhere = std::any_of(arrays.lse_full.begin(), arrays.lse_full.end(), [](const auto& step) { return step.second.every.has_value(); });
  const bool sampled = nearest != rows.end() && (*nearest == wanted || !everywhere);
  const std::int64_t call = sampled ? *nearest : wanted;
  RowTrack track;
  track.token = geometry.from_call(call);
  for (Series* each : {&track.lse_full, &track.lse_kept, &track.rho, &track.rho_used, &track.ratio}) {
    each->assign(static_cast<std::size_t>(std::max(run.steps, 0)), kNone);
  }
  const std::size_t slot = sampled ? static_cast<std::size_t>(nearest - rows.begin()) : 0;
  std::vector<float> base;  // of the sampled rows at the last refresh
  double own_base = kNone;
  for (int step = 0; step < run.steps; ++step) {
    const Measured now = read_step(reader, arrays, step, head, tokens);
    const std::size_t index = now.every ? static_cast<std::size_t>(call) : slot;
    if ((now.every || sampled) && index < now.lse_full.size()) {
      track.lse_full[step] = now.lse_full[index];
      if (index < now.log_rho.size()) {
        track.rho[step] = std::exp(now.log_rho[index]);
        track.lse_kept[step] = now.lse_full[index] + now.log_rho[index];
      }
    }
    if (sampled && slot < now.log_rho_used.size()) {
      track.rho_used[step] = std::exp(now.log_rho_used[slot]);
    } else if (const auto gain = shared_gain(now.log_rho_used, base)) {
      track.rho_used[step] = own_base + *gain;
    }
    track.ratio[step] = track.rho_used[step] / track.rho[step];
    if (now.log_rho_used.empty() && !now.log_rho_sampled.empty()) {
      base = now.log_rho_sampled;
      own_base = track.rho[step];
    }
  }
  return track;
}

Datum<RowTrack> row_track(Inspection& inspection, const InspectCursor& at, std::int64_t token) {
  const InspectedRun& run = inspection.run(at.run);
  const std::string key = "run row " + std::to_string(at.layer) + " " + std::to_string(at.branch) + " " + std::to_string(at.head) + " " + std::to_string(token);
  return inspection.fetch<RowTrack>(
      at.run, key,
      [record = run.record, geometry = run.geometry, at, token](CaptureReader& reader) {
        return read_row_track(reader, record, geometry, at.layer, at.branch, at.head, token);
      },
      std::int64_t{run.record.steps} * 40 + 4096);
}

}  // namespace ditscope::views
