#include "views/inspect/budget_work.h"

#include <cmath>
#include <map>
#include <set>
#include <tuple>

namespace ditscope::views {

ValueGrid WorkTable::time_grid(int steps, int layers) const {
  ValueGrid grid{layers, steps, std::vector<double>(static_cast<std::size_t>(layers) * steps, std::nan(""))};
  for (const Call& call : calls) {
    if (call.step < 0 || call.step >= steps || call.layer < 0 || call.layer >= layers || std::isnan(call.ms)) continue;
    double& cell = grid.values[static_cast<std::size_t>(call.layer) * steps + call.step];
    cell = (std::isnan(cell) ? 0 : cell) + call.ms;
  }
  return grid;
}

Series WorkTable::plan_megabytes(int steps) const {
  Series bytes(static_cast<std::size_t>(steps), std::nan(""));
  for (const Call& call : calls) {
    if (call.step < 0 || call.step >= steps) continue;
    bytes[call.step] = (std::isnan(bytes[call.step]) ? 0 : bytes[call.step]) + call.plan_bytes / 1e6;
  }
  return bytes;
}

Datum<WorkTable> work_table(Inspection& inspection, int run) {
  const CaptureRun& record = inspection.run(run).record;
  return inspection.fetch<WorkTable>(
      run, "run work",
      [id = record.run_id](CaptureReader& reader) {
        WorkTable table;
        for (const CaptureCall& call : reader.calls(id, -1, false)) {
          const double ms = call.execute_ms ? *call.execute_ms + call.plan_ms.value_or(0) : std::nan("");
          table.calls.push_back({call.step, call.layer, call.branch, call.action, ms, call.flops_dense.value_or(0), call.flops_done.value_or(0),
                                 static_cast<double>(call.plan_bytes)});
        }
        table.head_ms = in_order(reader.head_values(id, "execute_ms"));
        table.head_tiles = in_order(reader.head_values(id, "kept_ratio_tiles"));
        return table;
      },
      std::int64_t{64} * std::max(record.steps, 1) * std::max(record.model.layers, 1) * 2 * (std::max(record.model.heads, 1) + 2));
}

std::vector<HeadWork> head_work(const WorkTable& run, const WorkTable& reference) {
  std::set<std::tuple<int, int, int>> sparse;
  for (const auto& call : run.calls) {
    if (call.action == "sparse") sparse.insert({call.step, call.layer, call.branch});
  }
  struct Sums {
    double ms = 0, reference_ms = 0, tiles = 0;
    std::int64_t calls = 0;
  };
  std::map<std::pair<int, int>, Sums> heads;
  bool taken = false;
  std::tuple<int, int, int> last{-1, -1, -1};
  for (const auto& value : run.head_ms) {
    const std::tuple call(value.step, value.layer, value.branch);
    if (call != last) taken = sparse.count(call) > 0;
    last = call;
    if (!taken) continue;
    const double other = value_at(reference.head_ms, value), touched = value_at(run.head_tiles, value);
    if (!std::isfinite(value.value) || !std::isfinite(other) || !std::isfinite(touched)) continue;
    Sums& sums = heads[{value.layer, value.head}];
    sums.ms += value.value;
    sums.reference_ms += other;
    sums.tiles += touched;
    ++sums.calls;
  }
  std::vector<HeadWork> work;
  for (const auto& [head, sums] : heads) {
    if (sums.reference_ms <= 0) continue;
    work.push_back({head.first, head.second, 1 - sums.tiles / static_cast<double>(sums.calls), 1 - sums.ms / sums.reference_ms});
  }
  return work;
}

WorkTotals work_totals(const WorkTable& run, const WorkTable& reference) {
  double dense = 0, done = 0, ms = 0, reference_ms = 0;
  for (const auto& call : run.calls) {
    dense += call.flops_dense;
    done += call.flops_done;
    if (std::isfinite(call.ms)) ms += call.ms;
  }
  for (const auto& call : reference.calls) reference_ms += std::isfinite(call.ms) ? call.ms : 0;
  return {dense > 0 ? 1 - done / dense : 0, reference_ms > 0 ? 1 - ms / reference_ms : 0};
}

}  // namespace ditscope::views
