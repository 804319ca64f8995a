#include <cmath>
#include <cstdio>
#include <filesystem>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>

#include "app/cli/capture_export.h"
#include "app/cli/capture_json.h"
#include "app/cli/commands.h"
#include "app/cli/console.h"
#include "app/cli/exit_codes.h"
#include "app/cli/print.h"
#include "core/capture/capture_reader.h"

namespace ditscope::cli {
namespace {

using Json = nlohmann::json;

void run_info(const std::filesystem::path& file) {
  const CaptureReader reader(file);
  const CaptureMeta meta = reader.meta();
  Json runs = Json::array();
  std::string text = print("%s  %s, format %d.%d, %s", file.string().c_str(), meta.state.c_str(), meta.version / 1000, meta.version % 1000,
                           bytes_text(static_cast<double>(meta.file_bytes)).c_str());
  for (const CaptureRun& run : reader.runs()) {
    Json json = json_of(run);
    const auto steps = reader.steps(run.run_id);
    json["steps_complete"] = steps.size();
    for (const CaptureStep& step : steps) json["step_records"].push_back(json_of(step));
    std::map<std::string, int> kinds;
    for (const CaptureArrayInfo& info : reader.arrays(run.run_id)) ++kinds[info.header.kind + " (" + info.header.source + ")"];
    json["arrays"] = kinds;
    text += print("\nrun %d  %s, %zu of %d steps, %s\n  \"%s\", seed %s, noise %s", run.run_id, run.method.c_str(), steps.size(), run.steps,
                  run.state.c_str(), run.prompt.substr(0, 120).c_str(), run.seed.c_str(), run.noise_hash.c_str());
    text += print("\n  %lld tokens: %d text + %d x %d x %d; %d layers, %d heads; %s", static_cast<long long>(run.tokens()), run.text_tokens,
                  run.grid_frames, run.grid_rows, run.grid_columns, run.model.layers, run.model.heads, run.model.name.c_str());
    if (run.total_ms)
      text += print("\n  %.2f s, attention %.2f s, capture %.2f s, shadow %.2f s", *run.total_ms / 1e3, run.attention_ms.value_or(0) / 1e3,
                    run.capture_ms.value_or(0) / 1e3, run.shadow_ms.value_or(0) / 1e3);
    for (const auto& [kind, count] : kinds) text += print("\n  %5d  %s", count, kind.c_str());
    runs.push_back(std::move(json));
  }
  Json gaps = Json::array();
  std::int64_t missing = 0;
  for (const CaptureGap& gap : reader.gaps()) {
    gaps.push_back({{"run", gap.run_id}, {"step", gap.step}, {"layer", gap.layer}, {"branch", gap.branch}, {"kind", gap.kind}, {"bytes", gap.bytes}, {"reason", gap.reason}});
    missing += gap.bytes;
  }
  if (!gaps.empty()) text += print("\nleft out: %zu arrays, %s (--json lists them)", gaps.size(), bytes_text(static_cast<double>(missing)).c_str());
  const Json document = {{"file", file.string()}, {"version", meta.version}, {"state", meta.state}, {"bytes", meta.file_bytes}, {"meta", meta.values},
                         {"runs", runs},          {"gaps", gaps}};
  print_result(json_wanted() ? document.dump(2, ' ', false, Json::error_handler_t::replace) : text);
}

void add_info(CLI::App& capture) {
  auto file = std::make_shared<std::filesystem::path>();
  CLI::App* command = capture.add_subcommand("info", "What a capture holds: runs, steps, arrays, what was left out");
  command->add_option("FILE", *file, "A .ditcap file, also one that is being written")->required();
  add_json_flag(*command);
  command->callback([file] { run_info(*file); });
}

}  // namespace

void add_capture(CLI::App& app) {
  CLI::App* capture = app.add_subcommand("capture", "Look into captures: what `generate --capture` and `compare --capture` recorded");
  capture->require_subcommand(1);
  add_info(*capture);
  add_diff(*capture);
  add_export(*capture);
  add_compact(*capture);
  capture->footer(std::string("Examples:\n"
                              "  ditscope-cli capture info run.ditcap\n"
                              "  ditscope-cli capture diff full.ditcap window.ditcap --json\n"
                              "  ditscope-cli capture export run.ditcap --quantity map --step 10 --layer 3 --branch 1 -o map.safetensors\n"
                              "  ditscope-cli capture export run.ditcap --quantity row --step 10 --layer 3 --branch 1 --head 2 --token 400\n"
                              "  ditscope-cli capture compact run.ditcap --redact --steps every:5 --without q,k,v -o public.ditcap\n\n") +
                  kExitCodeHelp);
}

}  // namespace ditscope::cli
