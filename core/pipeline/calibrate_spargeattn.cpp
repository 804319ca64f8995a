// The tuning of SpargeAttn, arXiv:2502.18137, Sec. 3.6, of every (layer, head) on a few calls of runs with full attention:
//
//   for each sample:  for each theta of a grid, the least tau (bisected) with relative L1 < l1; the theta that skips most
//                     then the least lambda (bisected, 0..50) with relative L1 < pv_l1
//   over samples:     theta in bins of 2/16; the bin that skips most in sum; in it the largest theta, tau and lambda
//   a head that skips less than a tenth on average stays dense (theta above 1: no block is good, so all are kept)
//   relative L1 = sum |O - O*| / sum |O*|
//
// theta steps by 1/8 and the bisections stop at 1/256 (tau) and 1/4 (lambda); in the paper by 1/16, at .001 and .1 (`paper_grid`). All
// heads of a layer are tuned at once, by runs of the method itself. lambda is tuned with the int8 kernel, which is where it acts.
#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>
#include <map>

#include "core/attention/composed.h"
#include "core/attention/methods.h"
#include "core/pipeline/calibrate_runs.h"

namespace ditscope {
namespace {

constexpr double kBin = 0.125, kDense = 2, kLeastSkipped = 0.1, kMostLambda = 50;

struct HeadThresholds {
  double theta = kDense, tau = 1, lambda = kMostLambda, skipped = 0;
};

/// One layer of a sample with thresholds of each head. @return relative L1 error and skipped share, of each head
struct Tried {
  std::vector<double> error, skipped;
};

Tried attempt(const LayerCall& call, const at::Tensor& exact, const ParameterValues& parameters, const std::vector<HeadThresholds>& heads,
              bool with_lambda) {
  auto tuned = std::make_shared<Calibration>();
  tuned->method = "spargeattn";
  const std::vector<std::int64_t> shape{1, static_cast<std::int64_t>(heads.size())};
  for (const HeadThresholds& h : heads) {
    tuned->tables["similarity"].values.push_back(h.theta);
    tuned->tables["cdf"].values.push_back(h.tau);
    tuned->tables["pv_skip"].values.push_back(with_lambda ? h.lambda : 0);
  }
  for (auto& [name, table] : tuned->tables) table.shape = shape;
  LayerCall one = call;
  one.layer = 0;
  one.layers = 1;
  ComposedMethod method(make_tuned_spargeattn(parameters, std::move(tuned)), make_no_correction({}), {}, call.steps,
                        with_lambda ? QkPrecision::Int8 : QkPrecision::Float);
  const BlockPlan plan = method.plan(one);
  const at::Tensor off = (method.execute(one, plan) - exact).to(at::kFloat).abs().sum({0, 2, 3}) /
                         exact.to(at::kFloat).abs().sum({0, 2, 3}).clamp_min(1e-30);  // (H)
  Tried tried;
  const at::Tensor& kept = plan.selections.front()->kept_blocks();  // (1 or H,N,N) of the first batch element
  for (std::size_t h = 0; h < heads.size(); ++h) {
    const auto head = static_cast<std::int64_t>(h);
    tried.error.push_back(off[head].item<double>());
    tried.skipped.push_back(1 - kept[std::min(head, kept.size(0) - 1)].to(at::kDouble).mean().item<double>());
  }
  return tried;
}

std::vector<HeadThresholds> tune(const LayerCall& call, const at::Tensor& exact, const CalibrationTask& task) {
  const ParameterValues& parameters = task.request.method.parameters;
  const auto heads = static_cast<std::size_t>(call.q.size(1));
  const double theta_step = task.paper_grid ? 1.0 / 16 : 1.0 / 8;
  const int tau_bisections = task.paper_grid ? 10 : 8, lambda_bisections = task.paper_grid ? 9 : 8;  // of [0,1] and [0,50]
  std::vector<HeadThresholds> best(heads);
  for (double theta = -1; theta <= 1; theta += theta_step) {
    std::vector<HeadThresholds> trial(heads, {theta, 1});
    std::vector<double> low(heads, 0), high(heads, 1), skipped(heads, 0);
    for (int i = 0; i < tau_bisections; ++i) {
      for (std::size_t h = 0; h < heads; ++h) trial[h].tau = (low[h] + high[h]) / 2;
      const Tried tried = attempt(call, exact, parameters, trial, false);
      for (std::size_t h = 0; h < heads; ++h) {
        if (tried.error[h] >= task.l1) {
          low[h] = trial[h].tau;
        } else {
          high[h] = trial[h].tau;
          skipped[h] = tried.skipped[h];
        }
      }
    }
    for (std::size_t h = 0; h < heads; ++h)
      if (skipped[h] > best[h].skipped) best[h] = {theta, high[h], kMostLambda, skipped[h]};
  }
  std::vector<double> low(heads, 0), high(heads, kMostLambda);
  for (int i = 0; i < lambda_bisections; ++i) {
    for (std::size_t h = 0; h < heads; ++h) best[h].lambda = (low[h] + high[h]) / 2;
    const Tried tried = attempt(call, exact, parameters, best, true);
    for (std::size_t h = 0; h < heads; ++h) (tried.error[h] >= task.pv_l1 ? low : high)[h] = best[h].lambda;
  }
  for (std::size_t h = 0; h < heads; ++h) best[h].lambda = high[h];
  return best;
}

/// What the samples of a head agree on.
HeadThresholds agreed(const std::vector<HeadThresholds>& samples) {
  std::map<int, HeadThresholds> bins;
  double skipped = 0;
  for (const HeadThresholds& s : samples) {
    skipped += s.skipped / static_cast<double>(samples.size());
    auto [bin, is_first] = bins.try_emplace(static_cast<int>(std::floor(s.theta / kBin)), s);
    if (is_first) continue;
    HeadThresholds& all = bin->second;
    all = {std::max(all.theta, s.theta), std::max(all.tau, s.tau), std::max(all.lambda, s.lambda), all.skipped + s.skipped};
  }
  const auto most = std::max_element(bins.begin(), bins.end(), [](const auto& a, const auto& b) { return a.second.skipped < b.second.skipped; });
  HeadThresholds result = most->second;
  result.skipped = skipped;
  if (skipped < kLeastSkipped) result.theta = kDense;
  return result;
}

}  // namespace

void calibrate_spargeattn(CalibrationRuns& runs, const CalibrationTask& task, Calibration& calibration) {
  const int steps = runs.steps(), layers = runs.layers();
  const auto heads = static_cast<std::size_t>(runs.key().heads);
  const auto warmup = static_cast<int>(std::min<std::int64_t>(std::get<std::int64_t>(task.request.method.parameters.at("warmup_steps")), steps - 1));
  std::vector<bool> sampled(static_cast<std::size_t>(steps));
  for (int i = 0; i < task.sampled_steps; ++i)
    sampled[static_cast<std::size_t>(warmup + (steps - warmup) * (2 * i + 1) / (2 * task.sampled_steps))] = true;

  std::vector<std::vector<std::vector<HeadThresholds>>> samples(static_cast<std::size_t>(layers),  // (L,H) of samples
                                                                std::vector<std::vector<HeadThresholds>>(heads));
  int done = 0;
  WatchedAttention attention([&](const LayerCall& call, const at::Tensor& out) {
    if (!sampled[static_cast<std::size_t>(call.step)]) return;
    runs.report(done++, task.sampled_steps * runs.count() * layers, "thresholds of layers");
    const std::vector<HeadThresholds> tuned = tune(call, out, task);
    for (std::size_t h = 0; h < heads; ++h) samples[static_cast<std::size_t>(call.layer)][h].push_back(tuned[h]);
  });
  for (int step = 0; step < steps; ++step) {
    for (int run = 0; run < runs.count(); ++run) runs.advance(run, attention);
  }
  for (const char* name : {"similarity", "cdf", "pv_skip", "skipped_ratio"})
    calibration.tables[name].shape = {layers, static_cast<std::int64_t>(heads)};
  for (const auto& layer : samples) {
    for (const auto& of_head : layer) {
      const HeadThresholds h = agreed(of_head);
      calibration.tables["similarity"].values.push_back(h.theta);
      calibration.tables["cdf"].values.push_back(h.tau);
      calibration.tables["pv_skip"].values.push_back(h.lambda);
      calibration.tables["skipped_ratio"].values.push_back(h.skipped);
    }
  }
  calibration.settings["l1"] = std::to_string(task.l1);
  calibration.settings["pv_l1"] = std::to_string(task.pv_l1);
}

}  // namespace ditscope
