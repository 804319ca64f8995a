#include <cmath>
#include <cstdio>
#include <filesystem>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>

#include "app/cli/capture_export.h"
#include "app/cli/commands.h"
#include "app/cli/console.h"
#include "app/cli/exit_codes.h"
#include "core/capture/capture_diff.h"

namespace ditscope::cli {
namespace {

using Json = nlohmann::json;

template <typename... Values>
std::string print(const char* format, Values... values) {
  char text[512];
  std::snprintf(text, sizeof text, format, values...);
  return text;
}

Json or_null(const std::optional<double>& value) { return value && std::isfinite(*value) ? Json(*value) : Json(); }

Json parsed(const std::string& text) {
  Json json = Json::parse(text, nullptr, false);
  return json.is_discarded() ? Json(text) : json;
}

Json json_of(const CaptureRun& run) {
  return {{"run", run.run_id},
          {"name", run.name},
          {"method", run.method},
          {"parameters", parsed(run.parameters)},
          {"state", run.state},
          {"level", run.level},
          {"selection", parsed(run.selection)},
          {"prompt", run.prompt},
          {"negative_prompt", run.negative_prompt},
          {"seed", run.seed},
          {"noise_hash", run.noise_hash},
          {"steps", run.steps},
          {"guidance_scale", run.guidance_scale},
          {"frames", run.frames},
          {"width", run.width_px},
          {"height", run.height_px},
          {"dtype", run.dtype},
          {"token_order", run.token_order},
          {"tokens", run.tokens()},
          {"text_tokens", run.text_tokens},
          {"grid", {run.grid_frames, run.grid_rows, run.grid_columns}},
          {"branches", run.branches},
          {"model", {{"name", run.model.name}, {"fingerprint", run.model.fingerprint}, {"layers", run.model.layers}, {"heads", run.model.heads}, {"head_width", run.model.head_width}}},
          {"environment", parsed(run.environment)},
          {"started", run.started_utc},
          {"ended", run.ended_utc},
          {"total_ms", or_null(run.total_ms)},
          {"attention_ms", or_null(run.attention_ms)},
          {"capture_ms", or_null(run.capture_ms)},
          {"shadow_ms", or_null(run.shadow_ms)},
          {"kept_ratio", {{"requested", or_null(run.kept_ratio_requested)}, {"achieved", or_null(run.kept_ratio_achieved)}}},
          {"peak_bytes", run.peak_bytes}};
}

Json json_of(const CaptureStep& step) {
  return {{"step", step.step},
          {"timestep", step.timestep},
          {"action", step.action},
          {"guidance_scale", or_null(step.guidance_scale)},
          {"step_ms", or_null(step.step_ms)},
          {"attention_ms", or_null(step.attention_ms)},
          {"capture_ms", or_null(step.capture_ms)},
          {"shadow_ms", or_null(step.shadow_ms)},
          {"kept_ratio_requested", or_null(step.kept_ratio_requested)},
          {"kept_ratio", or_null(step.kept_ratio)},
          {"state_bytes", step.state_bytes},
          {"latent_error_ratio", or_null(step.latent_error_ratio)},
          {"replay_from", step.replay_from}};
}

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

struct DiffOptions {
  std::filesystem::path a, b;
  int run_a = 1, run_b = 0;
  double tolerance = 1e-4;
};

std::string figure(const std::optional<double>& value, const char* format) { return value ? print(format, *value) : "-"; }

void run_diff(const DiffOptions& options) {
  const CaptureReader a(options.a);
  const CaptureReader b(options.b.empty() ? options.a : options.b);
  const int run_b = options.run_b > 0 ? options.run_b : options.b.empty() ? 2 : 1;
  const CaptureDifference d = capture_difference(a, options.run_a, b, run_b, options.tolerance);
  Json steps = Json::array();
  std::string text = print("A: run %d, %s\nB: run %d, %s\n", d.a.run_id, d.a.method.c_str(), d.b.run_id, d.b.method.c_str());
  text += print("same noise: %s, same model: %s, same prompt: %s, same sizes: %s\n", d.same_noise ? "yes" : "no", d.same_model ? "yes" : "no",
                d.same_prompt ? "yes" : "no", d.same_sizes ? "yes" : "no");
  text += "step  latents |B-A|/|A|      ms A      ms B   kept A   kept B  recall A  recall B  error A  error B  mask IoU";
  for (const CaptureStepDifference& s : d.steps) {
    steps.push_back({{"step", s.step}, {"latent_error_ratio", or_null(s.latent_error_ratio)}, {"step_ms", {or_null(s.step_ms_a), or_null(s.step_ms_b)}},
                     {"kept_ratio", {or_null(s.kept_ratio_a), or_null(s.kept_ratio_b)}}, {"recall", {or_null(s.recall_a), or_null(s.recall_b)}},
                     {"error_ratio", {or_null(s.error_a), or_null(s.error_b)}}, {"lse_difference", or_null(s.lse_difference)}, {"mask_iou", or_null(s.mask_iou)}});
    text += print("\n%4d  %17s  %8s  %8s  %7s  %7s  %8s  %8s  %7s  %7s  %8s", s.step, figure(s.latent_error_ratio, "%.3e").c_str(),
                  figure(s.step_ms_a, "%.1f").c_str(), figure(s.step_ms_b, "%.1f").c_str(), figure(s.kept_ratio_a, "%.4f").c_str(),
                  figure(s.kept_ratio_b, "%.4f").c_str(), figure(s.recall_a, "%.4f").c_str(), figure(s.recall_b, "%.4f").c_str(),
                  figure(s.error_a, "%.4f").c_str(), figure(s.error_b, "%.4f").c_str(), figure(s.mask_iou, "%.3f").c_str());
  }
  text += d.first_divergence < 0 ? "\nthe latents agree at every step" : "\nfirst divergence: step " + std::to_string(d.first_divergence);
  if (d.frame_psnr_db) text += print("\nframes: %.2f dB", *d.frame_psnr_db);
  const Json document = {{"a", json_of(d.a)}, {"b", json_of(d.b)}, {"same_noise", d.same_noise}, {"same_model", d.same_model}, {"same_prompt", d.same_prompt},
                         {"same_sizes", d.same_sizes}, {"steps", steps}, {"first_divergence", d.first_divergence < 0 ? Json() : Json(d.first_divergence)},
                         {"tolerance", options.tolerance}, {"frame_psnr_db", or_null(d.frame_psnr_db)}};
  print_result(json_wanted() ? document.dump(2, ' ', false, Json::error_handler_t::replace) : text);
}

void add_info(CLI::App& capture) {
  auto file = std::make_shared<std::filesystem::path>();
  CLI::App* command = capture.add_subcommand("info", "What a capture holds: runs, steps, arrays, what was left out");
  command->add_option("FILE", *file, "A .ditcap file, also one that is being written")->required();
  add_json_flag(*command);
  command->callback([file] { run_info(*file); });
}

void add_diff(CLI::App& capture) {
  auto options = std::make_shared<DiffOptions>();
  CLI::App* command = capture.add_subcommand("diff", "Hold one run against another, step by step");
  command->add_option("A", options->a, "A capture")->required();
  command->add_option("B", options->b, "Another; without it, run 2 of the same");
  command->add_option("--run-a", options->run_a, "Run of A")->capture_default_str()->check(CLI::PositiveNumber);
  command->add_option("--run-b", options->run_b, "Run of B (default: 1, or 2 of the same file)")->check(CLI::PositiveNumber);
  command->add_option("--tolerance", options->tolerance, "Relative RMS of latents that counts as the same")->capture_default_str()->check(CLI::NonNegativeNumber);
  add_json_flag(*command);
  command->callback([options] { run_diff(*options); });
}

}  // namespace

void add_capture(CLI::App& app) {
  CLI::App* capture = app.add_subcommand("capture", "Look into captures: what `generate --capture` and `compare --capture` recorded");
  capture->require_subcommand(1);
  add_info(*capture);
  add_diff(*capture);
  add_export(*capture);
  capture->footer(std::string("Examples:\n"
                              "  ditscope-cli capture info run.ditcap\n"
                              "  ditscope-cli capture diff full.ditcap window.ditcap --json\n"
                              "  ditscope-cli capture export run.ditcap --quantity map --step 10 --layer 3 --branch 1 -o map.safetensors\n"
                              "  ditscope-cli capture export run.ditcap --quantity row --step 10 --layer 3 --branch 1 --head 2 --token 400\n\n") +
                  kExitCodeHelp);
}

}  // namespace ditscope::cli
