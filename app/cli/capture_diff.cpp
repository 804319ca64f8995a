#include "app/cli/print.h"
#include "core/capture/capture_diff.h"

#include <cstdio>
#include <filesystem>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>

#include "app/cli/capture_export.h"
#include "app/cli/capture_json.h"
#include "app/cli/console.h"
#include "app/cli/ranges.h"

namespace ditscope::cli {
namespace {

using Json = nlohmann::json;

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

}  // namespace

void add_diff(CLI::App& capture) {
  auto options = std::make_shared<DiffOptions>();
  CLI::App* command = capture.add_subcommand("diff", "Hold one run against another, step by step");
  command->add_option("A", options->a, "A capture")->required();
  command->add_option("B", options->b, "Another; without it, run 2 of the same");
  command->add_option("--run-a", options->run_a, "Run of A")->capture_default_str()->check(above_zero());
  command->add_option("--run-b", options->run_b, "Run of B (default: 1, or 2 of the same file)")->check(above_zero());
  command->add_option("--tolerance", options->tolerance, "Relative RMS of latents that counts as the same")->capture_default_str()->check(from_zero());
  add_json_flag(*command);
  command->callback([options] { run_diff(*options); });
}

}  // namespace ditscope::cli
