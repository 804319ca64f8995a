// The plan search of DiTFastAttn, arXiv:2406.08552, Sec. 3.4: greedy, step by step and layer by layer.
//
//   step 0: every layer FULL.  Step t, what earlier steps remembered held still:
//     O* = the model's output with every layer FULL
//     for layer l = 0..L-1: the first m of AST, WA-RS+ASC, WA-RS, ASC with
//       loss(O*, O with layers < l as chosen, l = m, layers > l FULL) < (l+1)/L delta,   else FULL
//   loss = mean of clip(|a-b| / (max(|a|,|b|) + 1e-6), 0, 10) over the output, both guidance branches, mean over prompts
//
// Differs from the paper: its code takes max(a,b), by which elements where both are negative never count (`code_loss`).
#include <ATen/ATen.h>

#include <cstdio>

#include "core/attention/compression.h"
#include "core/attention/methods.h"
#include "core/pipeline/calibrate_runs.h"

namespace ditscope {
namespace {

double loss_of(const at::Tensor& a, const at::Tensor& b, bool code) {
  const at::Tensor larger = code ? at::maximum(a, b) : at::maximum(a.abs(), b.abs());
  return ((a - b).abs() / (larger + 1e-6)).clamp(0, 10).mean().item<double>();
}

}  // namespace

void calibrate_ditfastattn(CalibrationRuns& runs, const CalibrationTask& task, Calibration& calibration) {
  const int steps = runs.steps(), layers = runs.layers();
  const ParameterValues& parameters = task.request.method.parameters;
  CompressionOptions options;
  options.storage = ResidualStorage::of(parameters);
  options.first_half_residual = std::get<std::string>(parameters.at("asc_residual")) == "first-half";
  options.keep_all = true;
  CompressionTable table{steps, layers, std::vector<Compression>(static_cast<std::size_t>(steps) * static_cast<std::size_t>(layers))};
  std::vector<std::unique_ptr<CompressedMethod>> methods;
  for (int run = 0; run < runs.count(); ++run)
    methods.push_back(std::make_unique<CompressedMethod>(make_window(parameters, steps), table, options));

  const auto outcome = [&](int run, int step) {
    const std::unique_ptr<Method> trial = methods[static_cast<std::size_t>(run)]->clone();
    static_cast<CompressedMethod&>(*trial).table() = table;
    MethodAttention attention(*trial);
    return runs.predict(run, step, attention);
  };
  std::vector<Compression> candidates{Compression::Reuse, Compression::Residual};
  if (runs.branches().size() == 2)
    candidates = {Compression::Reuse, Compression::ResidualShared, Compression::Residual, Compression::Shared};
  for (int step = 0; step < steps; ++step) {
    runs.report(step, steps, "plan");
    std::vector<at::Tensor> exact;
    for (int run = 0; step > 0 && run < runs.count(); ++run) exact.push_back(outcome(run, step));
    for (int layer = 0; step > 0 && layer < layers; ++layer) {
      const double allowed = task.delta * (layer + 1) / layers;
      for (const Compression candidate : candidates) {
        table.at(step, layer) = candidate;
        double loss = 0;
        for (int run = 0; run < runs.count() && loss / runs.count() < allowed; ++run)
          loss += loss_of(exact[static_cast<std::size_t>(run)], outcome(run, step), task.code_loss);
        if (loss / runs.count() < allowed) break;
        table.at(step, layer) = Compression::Full;
      }
    }
    for (int run = 0; run < runs.count(); ++run) {
      methods[static_cast<std::size_t>(run)]->table() = table;
      MethodAttention attention(*methods[static_cast<std::size_t>(run)]);
      runs.advance(run, attention);
    }
  }
  runs.report(steps, steps, "plan");
  Calibration::Table plan{{steps, layers}, {}};
  for (const Compression cell : table.cells) plan.values.push_back(static_cast<double>(cell));
  calibration.tables["plan"] = std::move(plan);
  char text[32];
  std::snprintf(text, sizeof text, "%g", task.delta);
  calibration.settings["delta"] = text;
  calibration.settings["loss"] = task.code_loss ? "max(a,b), the code's" : "max(|a|,|b|), the paper's";
  calibration.settings["codes"] = "0 FULL, 1 AST, 2 WA-RS+ASC, 3 WA-RS, 4 ASC";
}

}  // namespace ditscope
