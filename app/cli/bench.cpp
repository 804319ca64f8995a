#include <cstdio>
#include <memory>
#include <nlohmann/json.hpp>
#include <utility>

#include "app/cli/commands.h"
#include "app/cli/console.h"
#include "app/cli/exit_codes.h"
#include "core/bridge/attention_benchmark.h"

namespace ditscope::cli {
namespace {

using Json = nlohmann::json;

Json json_of(const AttentionBenchmarkRow& row) {
  return {{"case", row.name},
          {"dtype", row.dtype},
          {"isa", row.isa},
          {"threads", row.threads},
          {"shape", {{"heads", row.heads}, {"tokens", row.tokens}, {"head_dim", row.head_dim}}},
          {"skipped_ratio", row.skipped_ratio},
          {"skipped_ratio_blocks", row.skipped_ratio_blocks},
          {"ms", row.ms},
          {"p10_ms", row.p10_ms},
          {"p90_ms", row.p90_ms},
          {"baseline", row.baseline},
          {"baseline_ms", row.baseline_ms},
          {"ratio", row.ratio()}};
}

std::string text_of(const AttentionBenchmarkRow& row) {
  char text[256];
  std::snprintf(text, sizeof text, "%-30s %-9s %-11s %8.1f %% %10.3f ms %10.2f ms %8.2fx  %s", row.name.c_str(),
                row.dtype.c_str(), row.isa.c_str(), 100 * row.skipped_ratio, row.ms, row.baseline_ms, row.ratio(),
                row.baseline.c_str());
  return text;
}

void run_attention(const AttentionBenchmarkOptions& options, bool list) {
  if (list) {
    Json all = Json::array();
    std::string text;
    for (const auto& [name, description] : attention_benchmark_cases()) {
      all.push_back({{"case", name}, {"description", description}});
      text += (text.empty() ? "" : "\n") + name + "\n    " + description;
    }
    return print_result(json_wanted() ? Json{{"cases", all}}.dump(2) : text);
  }
  Json rows = Json::array();
  bool first = true;
  benchmark_attention(options, [&](const AttentionBenchmarkRow& row) {
    rows.push_back(json_of(row));
    if (json_wanted()) return;
    if (std::exchange(first, false)) {
      char head[256];
      std::snprintf(head, sizeof head, "%-30s %-9s %-11s %10s %13s %13s %9s  %s", "case", "dtype", "isa", "skipped", "ours",
                    "baseline", "ratio", "baseline is");
      print_result(head);
    }
    print_result(text_of(row));
  });
  if (json_wanted()) print_result(Json{{"rows", rows}}.dump(2));
}

}  // namespace

void add_bench(CLI::App& app) {
  CLI::App* command = app.add_subcommand("bench", "Measure how fast this machine is");
  command->require_subcommand(1);
  auto options = std::make_shared<AttentionBenchmarkOptions>();
  auto list = std::make_shared<bool>(false);
  CLI::App* attention =
      command->add_subcommand("attention", "Our attention kernels beside LibTorch's, interleaved in one process");
  attention->add_option("--case", options->only, "Only the case of that name, or those whose names start so");
  attention->add_option("--dtype", options->dtype, "Only this type of inputs")->check(CLI::IsMember({"float32", "bfloat16"}));
  attention->add_flag("--list", *list, "List the cases and run none");
  attention->add_option("--threads", options->threads, "CPU threads of both sides")->check(CLI::Range(1, 1024));
  attention->add_option("--seconds", options->seconds, "Time to spend on each row; three repetitions at least")
      ->check(CLI::Range(0.0, 3600.0))
      ->capture_default_str();
  add_json_flag(*attention);
  attention->footer(std::string("Examples:\n  ditscope-cli bench attention\n"
                                "  ditscope-cli bench attention --case random_blocks_64 --threads 1 --json\n"
                                "  DITSCOPE_ISA=avx2 ditscope-cli bench attention --case dense\n\n") +
                    kExitCodeHelp);
  attention->callback([options, list] { run_attention(*options, *list); });
  add_bench_generate(*command);
}

}  // namespace ditscope::cli
