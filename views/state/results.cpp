#include "views/state/results.h"

#include <algorithm>
#include <cmath>

#include "kernels/error.h"
#include "views/state/words.h"

namespace ditscope::views {

Band band_of(double psnr_db) {
  if (psnr_db >= 30) return Band::NearIdentical;
  if (psnr_db >= 25) return Band::Close;
  return psnr_db >= 20 ? Band::Visible : Band::Diverged;
}

const char* band_name(Band band) {
  switch (band) {
    case Band::NearIdentical:
      return "near-identical";
    case Band::Close:
      return "close";
    case Band::Visible:
      return "visible";
    case Band::Diverged:
      return "diverged";
  }
  return "";
}

RunFigures figures_of(const RunResult& result, const std::optional<PairMetrics>& metrics) {
  RunFigures figures;
  try {
    figures.method_name = find_method(result.request.method.key).name;
  } catch (const Error&) {
    figures.method_name = result.request.method.key;  // a run of another version, read from the history
  }
  figures.total_seconds = result.seconds;
  figures.attention_seconds = result.attention_seconds;
  figures.metrics = metrics;
  figures.kept_ratio = result.kept_ratio;
  figures.stopped = result.stopped;
  double seconds = 0;
  for (const StepRecord& step : result.steps) {
    if (step.kind != StepRecord::Kind::Sparse && step.kind != StepRecord::Kind::Cached) continue;
    if (step.reused_ratio > 0) continue;  // it says nothing of what a sparse step costs
    seconds += step.attention_seconds;
    ++figures.sparse_steps;
  }
  if (figures.sparse_steps > 0) {
    figures.per_sparse_step_seconds = seconds / figures.sparse_steps;
  } else if (!result.steps.empty()) {
    figures.per_sparse_step_seconds = result.attention_seconds / static_cast<double>(result.steps.size());
  }
  return figures;
}

Speed speed_of(const RunFigures& reference, const RunFigures& run) {
  const auto factor = [](double slow, double quick) { return quick > 0 ? slow / quick : 1.0; };
  Speed speed;
  speed.total = factor(reference.total_seconds, run.total_seconds);
  speed.attention = factor(reference.attention_seconds, run.attention_seconds);
  if (run.sparse_steps > 0 && reference.per_sparse_step_seconds && run.per_sparse_step_seconds) {
    speed.per_sparse_step = factor(*reference.per_sparse_step_seconds, *run.per_sparse_step_seconds);
  }
  speed.ceiling = run.kept_ratio.schedule_average > 0 ? 1 / run.kept_ratio.schedule_average : 1;
  return speed;
}

std::vector<HonestBar> honest_bars(const RunFigures& reference, const RunFigures& run) {
  const Speed speed = speed_of(reference, run);
  const auto saved = [](double factor) { return factor > 0 ? 1 - 1 / factor : 0.0; };
  std::vector<HonestBar> bars;
  if (speed.per_sparse_step) bars.push_back({"sparse step", 1 - run.kept_ratio.achieved, saved(*speed.per_sparse_step)});
  bars.push_back({"attention", 1 - run.kept_ratio.schedule_average, saved(speed.attention)});
  bars.push_back({"end to end", std::nullopt, saved(speed.total)});
  return bars;
}

std::string speed_text(double factor) {
  return factor < 0.995 ? "Slower than full: " + factor_text(factor) : factor_text(factor);
}

std::optional<double> estimate_seconds(const Request& wanted, const Request& known, double known_seconds) {
  if (known_seconds <= 0 || known.steps <= 0 || wanted.model != known.model || wanted.method.key != known.method.key) return {};
  const double frames = static_cast<double>(wanted.frames) / std::max(1, known.frames);
  const double area =
      static_cast<double>(wanted.width) * wanted.height / std::max(1.0, static_cast<double>(known.width) * known.height);
  // Attention grows faster than the token count, so a clip of another size is no basis for an estimate.
  if (std::fabs(frames - 1) > 1e-9 || std::fabs(area - 1) > 1e-9) return {};
  const double branches = (wanted.guidance_scale > 1 ? 2.0 : 1.0) / (known.guidance_scale > 1 ? 2.0 : 1.0);
  return known_seconds * branches * wanted.steps / known.steps;
}

}  // namespace ditscope::views
