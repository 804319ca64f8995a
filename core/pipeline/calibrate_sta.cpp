// The window search of sliding tile attention, arXiv:2502.04507: for every step, layer and head the candidate window whose output lies
// nearest to full attention's (L2, both guidance branches, all prompts), on runs with full attention.
//
// Candidates: the paper's for HunyuanVideo and Wan, and whole axes by turns, cut to the tiles that the grid has; those that keep more
// than task.kept_ratio are left out, but never the sparsest.
#include <ATen/ATen.h>

#include <algorithm>
#include <array>
#include <set>

#include "core/attention/registry.h"
#include "core/pipeline/calibrate_runs.h"

namespace ditscope {
namespace {

using Window = std::array<std::int64_t, 3>;
constexpr std::int64_t kWhole = 64;  ///< as many tiles as any axis may name

/// Smaller windows than a whole axis have an odd number of tiles here: an even one sees one more.
std::vector<Window> candidate_windows(const CalibrationKey& key, const std::string& tile) {
  const bool large = key.frames % 6 == 0 && key.rows % 8 == 0 && key.columns % 8 == 0;
  Window size{4, 4, 4};
  if (tile == "6x8x8" || (tile == "auto" && large)) size = {6, 8, 8};
  if (tile == "1x8x8") size = {1, 8, 8};
  const Window grid{key.frames, key.rows, key.columns};
  std::set<Window> distinct;
  for (Window w : std::vector<Window>{{3, 3, 3}, {5, 3, 3}, {3, 3, 5}, {3, 5, 3}, {1, 3, 3}, {1, 5, 5}, {1, 5, 7}, {1, 3, kWhole},
                                      {1, kWhole, 3}, {3, 1, kWhole}, {3, kWhole, 1}, {1, kWhole, kWhole}, {kWhole, 1, 1},
                                      {kWhole, 3, 3}, {kWhole, 1, kWhole}, {kWhole, kWhole, 1}, {5, 1, kWhole}, {5, kWhole, 3}}) {
    for (std::size_t axis = 0; axis < 3; ++axis) {
      const std::int64_t tiles = (grid[axis] + size[axis] - 1) / size[axis];
      if (w[axis] >= tiles) w[axis] = tiles;
    }
    distinct.insert(w);
  }
  return {distinct.begin(), distinct.end()};
}

struct Candidate {
  Window window;
  std::unique_ptr<Method> method;
  double kept_ratio = 0;
};

}  // namespace

void calibrate_sta(CalibrationRuns& runs, const CalibrationTask& task, Calibration& calibration) {
  const int steps = runs.steps(), layers = runs.layers();
  const std::int64_t heads = runs.key().heads;
  const std::string tile = std::get<std::string>(task.request.method.parameters.at("tile"));
  std::vector<Candidate> candidates;
  for (const Window& w : candidate_windows(runs.key(), tile)) {
    MethodChoice choice{"sta", {{"window_frames", w[0]}, {"window_rows", w[1]}, {"window_columns", w[2]}, {"tile", tile}}};
    choice.parameters["warmup_steps"] = std::int64_t{0};
    candidates.push_back({w, make_method(choice, steps)});
  }
  const auto kept_ratios = [&](const LayerCall& call) {
    for (Candidate& c : candidates) c.kept_ratio = c.method->plan(call).achieved;
    std::stable_sort(candidates.begin(), candidates.end(), [](const Candidate& a, const Candidate& b) { return a.kept_ratio < b.kept_ratio; });
    while (candidates.size() > 1 && candidates.back().kept_ratio > task.kept_ratio) candidates.pop_back();
  };

  at::Tensor distances;  // (S,L,K,H) double
  WatchedAttention attention([&](const LayerCall& call, const at::Tensor& out) {
    if (!distances.defined()) {
      kept_ratios(call);
      distances = at::zeros({steps, layers, static_cast<std::int64_t>(candidates.size()), heads}, at::kDouble);
    }
    for (std::size_t k = 0; k < candidates.size(); ++k) {
      Method& method = *candidates[k].method;
      const at::Tensor off = (method.execute(call, method.plan(call)) - out).to(at::kFloat);                 // (B,H,T,D)
      distances[call.step][call.layer][static_cast<std::int64_t>(k)].add_(off.square().sum({0, 2, 3}).sqrt().to(at::kCPU, at::kDouble));
    }
  });
  for (int step = 0; step < steps; ++step) {
    runs.report(step, steps, "windows");
    for (int run = 0; run < runs.count(); ++run) runs.advance(run, attention);
  }
  runs.report(steps, steps, "windows");

  const at::Tensor best = distances.argmin(2).to(at::kDouble).contiguous();  // (S,L,H)
  Calibration::Table windows{{steps, layers, heads}, {best.data_ptr<double>(), best.data_ptr<double>() + best.numel()}};
  Calibration::Table names{{static_cast<std::int64_t>(candidates.size()), 3}, {}}, kept{{names.shape[0]}, {}};
  for (const Candidate& c : candidates) {
    for (const std::int64_t size : c.window) names.values.push_back(static_cast<double>(size));
    kept.values.push_back(c.kept_ratio);
  }
  calibration.tables = {{"window", std::move(windows)}, {"candidates", std::move(names)}, {"kept_ratio", std::move(kept)}};
}

}  // namespace ditscope
