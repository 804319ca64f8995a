#include <algorithm>
#include <cstdio>
#include <map>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <set>
#include <tuple>

#include "app/cli/commands.h"
#include "app/cli/console.h"
#include "app/cli/exit_codes.h"
#include "app/cli/interrupt.h"
#include "app/cli/run_options.h"
#include "core/metrics/psnr.h"
#include "core/pipeline/generate_benchmark.h"

namespace ditscope::cli {
namespace {

using Json = nlohmann::json;
using Row = GenerateBenchmarkRow;

struct BenchGenerateOptions : RunOptions {
  std::string method = "full";
  std::string against;  ///< a dtype
};

/// The same request in another dtype, unwatched.
struct Against {
  RunResult run;
  double psnr_db = 0;
};

/// Rows that `key` makes equal, added up; in the order of the first of each.
template <typename Key>
std::vector<Row> added_up(const std::vector<Row>& rows, Key key) {
  std::vector<Row> sums;
  for (const Row& row : rows) {
    const auto found = std::find_if(sums.begin(), sums.end(), [&](const Row& sum) { return key(sum) == key(row); });
    if (found == sums.end()) {
      sums.push_back(row);
      continue;
    }
    found->calls += row.calls;
    found->seconds += row.seconds;
    found->gflop += row.gflop;
  }
  return sums;
}

/// Rows of all layers under one name, the longest of a stage first, then what no row covers.
std::vector<Row> by_name(const GenerateBenchmark& benchmark) {
  std::vector<Row> all;
  for (const auto& [stage, seconds] : benchmark.stage_seconds) {
    std::vector<Row> rows;
    std::copy_if(benchmark.rows.begin(), benchmark.rows.end(), std::back_inserter(rows), [&, s = stage](const Row& r) { return r.stage == s; });
    rows = added_up(rows, [](const Row& r) { return std::tie(r.kind, r.name); });
    std::stable_sort(rows.begin(), rows.end(), [](const Row& a, const Row& b) { return a.seconds > b.seconds; });
    double covered = 0;
    for (const Row& row : rows) covered += row.seconds;
    rows.push_back({stage, "rest", "everything else", -1, 1, seconds - covered, 0, 0});
    all.insert(all.end(), rows.begin(), rows.end());
  }
  return all;
}

Json json_of(const GenerateBenchmark& benchmark, const std::optional<Against>& against) {
  const RunResult& run = benchmark.run;
  const auto row_json = [&](const Row& row) {
    Json json = {{"stage", row.stage}, {"kind", row.kind}, {"name", row.name}, {"calls", row.calls}, {"seconds", row.seconds},
                 {"share_of_stage", row.seconds / benchmark.stage_seconds.at(row.stage)}};
    if (row.layer >= 0) json["layer"] = row.layer;
    if (row.gflop > 0) {
      json["gflop"] = row.gflop;
      json["share_of_peak"] = row.of_peak();
    }
    return json;
  };
  Json rows = Json::array(), layers = Json::array();
  for (const Row& row : by_name(benchmark)) rows.push_back(row_json(row));
  for (const Row& row : benchmark.rows)
    if (row.layer >= 0) layers.push_back(row_json(row));
  Json json = {{"request", Json::parse(to_json(run.request))},
          {"seconds", run.seconds},
          {"stages", benchmark.stage_seconds},
          {"gemm_peak_gflops", benchmark.gemm_peak_gflops},
          {"peak_bytes", run.peak_bytes},
          {"kept_ratio", run.kept_ratio.schedule_average},
          {"rows", rows},
          {"layers", layers}};
  if (against)
    json["against"] = {{"dtype", against->run.request.dtype}, {"seconds", against->run.seconds}, {"psnr_db", against->psnr_db}};
  return json;
}

template <typename... Values>
std::string line(const char* format, Values... values) {
  char text[256];
  std::snprintf(text, sizeof text, format, values...);
  return text;
}

/// Seconds of the kinds of work in every layer of a stage.
std::string layer_table(const GenerateBenchmark& benchmark, const std::string& stage, const char* what) {
  std::map<int, std::map<std::string, double>> layers;
  std::set<std::string> kinds;
  for (const Row& row : benchmark.rows) {
    if (row.stage != stage || row.layer < 0) continue;
    layers[row.layer][row.kind] += row.seconds;
    kinds.insert(row.kind);
  }
  if (layers.empty()) return "";
  std::string text = "\n\n" + line("%-8s", what);
  for (const std::string& kind : kinds) text += line("%14s", kind.c_str());
  for (auto& [layer, seconds] : layers) {
    text += line("\n%-8d", layer);
    for (const std::string& kind : kinds) text += line("%12.3f s", seconds[kind]);
  }
  return text;
}

std::string text_of(const GenerateBenchmark& benchmark, const std::optional<Against>& against) {
  const Request& request = benchmark.run.request;
  std::string text = line("%s: %d x %d x %d, %d steps, %s, %s, %d threads\n", request.model.filename().c_str(), request.frames,
                          request.width, request.height, request.steps, request.method.key.c_str(), request.dtype.c_str(), request.threads);
  for (const auto& [type, peak] : benchmark.gemm_peak_gflops) text += line("peak of a large product, %s: %.0f GFLOP/s\n", type.c_str(), peak);
  text += line("%.2f s from prompt to pixels, at most %s in memory\n", benchmark.run.seconds,
               bytes_text(static_cast<double>(benchmark.run.peak_bytes)).c_str());
  if (against)
    text += line("against %s, which takes %.2f s: the frames agree to %.1f dB\n", against->run.request.dtype.c_str(), against->run.seconds,
                 against->psnr_db);
  const std::vector<Row> rows = by_name(benchmark);
  for (const char* stage : {"text", "denoise", "decode", "encode"}) {
    const auto seconds = benchmark.stage_seconds.find(stage);
    if (seconds == benchmark.stage_seconds.end()) continue;
    text += line("\n%-42s %9.3f s\n", stage, seconds->second);
    for (const Row& row : rows) {
      if (row.stage != stage) continue;
      text += line("  %-12s %-27s %9.3f s %6.1f %%", row.kind.c_str(), row.name.c_str(), row.seconds, 100 * row.seconds / seconds->second);
      text += row.gflop > 0 ? line(" %8.0f GFLOP/s %5.0f %% of peak\n", row.gflop / row.seconds, 100 * row.of_peak()) : "\n";
    }
  }
  text.pop_back();
  return text + layer_table(benchmark, "denoise", "layer") + layer_table(benchmark, "decode", "block");
}

void run_bench_generate(BenchGenerateOptions& options) {
  options.request.method = method_of(options.method, options.step_cache);
  options.request.prompt = prompts_of(options).front();
  ConsoleProgress progress(options.quiet);
  const GenerateBenchmark benchmark = benchmark_generate(options.request, progress, Interrupt::control());
  std::optional<Against> against;
  if (!options.against.empty()) {
    Request other = benchmark.run.request;
    other.dtype = options.against;
    Generator generator;
    against.emplace().run = generator.run(other, progress, Interrupt::control());
    against->psnr_db = psnr(benchmark.run.frames, against->run.frames).mean_db;
  }
  progress.clear();
  print_result(json_wanted() ? json_of(benchmark, against).dump(2) : text_of(benchmark, against));
}

}  // namespace

void add_bench_generate(CLI::App& bench) {
  auto options = std::make_shared<BenchGenerateOptions>();
  CLI::App* command = bench.add_subcommand("generate", "Where the time of a run on the CPU goes: stages, kinds of work, layers");
  add_run_options(*command, *options);
  command->add_option("--method", options->method, "Attention method, see `ditscope-cli methods`")->capture_default_str()->type_name("METHOD");
  command->add_option("--against", options->against, "Run once more in this dtype and say how far the frames agree")->type_name("TYPE");
  command->footer(std::string("Examples:\n  ditscope-cli bench generate --steps 4 --threads 2\n"
                              "  ditscope-cli bench generate --dtype mixed --against float32\n"
                              "  ditscope-cli bench generate --method re-ttention --dtype float32 --json\n\n") +
                  kExitCodeHelp);
  command->callback([options] { run_bench_generate(*options); });
}

}  // namespace ditscope::cli
