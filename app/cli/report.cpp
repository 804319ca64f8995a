#include "app/cli/report.h"

#include <algorithm>
#include <cstdio>

#include "app/cli/console.h"
#include "app/cli/exit_codes.h"
#include "core/metrics/psnr.h"
#include "core/metrics/ssim.h"

namespace ditscope::cli {
namespace {

using Json = nlohmann::json;

Json json_of(const StepRecord& step) {
  return {{"index", step.index},
          {"timestep", step.timestep},
          {"kind", step_kind_name(step.kind)},
          {"seconds", step.seconds},
          {"attention_seconds", step.attention_seconds},
          {"kept_ratio_requested", step.kept_ratio_requested},
          {"kept_ratio_achieved", step.kept_ratio_achieved},
          {"reused_ratio", step.reused_ratio}};
}

template <typename T>
Json or_null(const std::optional<T>& value) {
  return value ? Json(*value) : Json();
}

Json json_of(const ComparedRun& run) {
  const RunResult& result = run.result;
  Json steps = Json::array();
  for (const StepRecord& step : result.steps) steps.push_back(json_of(step));
  const Json request = Json::parse(to_json(result.request));
  Json json = {{"method", result.request.method.key},
               {"parameters", request["method"]["parameters"]},
               {"prompt", request["prompt"]},
               {"seconds", result.seconds},
               {"attention_seconds", result.attention_seconds},
               {"stages", result.stages},
               {"steps", steps},
               {"kept_ratio",
                {{"requested", result.kept_ratio.requested},
                 {"achieved", result.kept_ratio.achieved},
                 {"schedule_average", result.kept_ratio.schedule_average}}},
               {"reused_ratio", result.reused_ratio},
               {"peak_bytes", result.peak_bytes},
               {"method_bytes", result.method_bytes},
               {"noise_hash", result.noise_hash},
               {"frames", result.frames.count},
               {"stopped", result.stopped},
               {"notices", result.notices},
               {"psnr_db", or_null(run.psnr_db)},
               {"ssim", or_null(run.ssim)},
               {"output", nullptr}};
  if (run.error) json["error"] = {{"kind", error_kind_name(*run.error)}, {"message", run.message}};
  return json;
}

template <typename... Values>
std::string print_text(const char* format, Values... values) {
  char text[256];
  std::snprintf(text, sizeof text, format, values...);
  return text;
}

/// One run for a person, for example
/// "re-ttention      12.3 s, attention 4.1 s   kept 3.1 % asked, 6.4 % achieved, 41.0 % whole run   28.4 dB (close), SSIM 0.910".
std::string line_of(const ComparedRun& run) {
  const RunResult& result = run.result;
  std::string line = print_text("%-14s", result.request.method.key.c_str());
  if (run.error) return line + "failed: " + run.message;
  line += print_text("%8.2f s, attention %.2f s", result.seconds, result.attention_seconds);
  line += print_text("   kept %.1f %% asked, %.1f %% achieved, %.1f %% whole run", 100 * result.kept_ratio.requested,
                     100 * result.kept_ratio.achieved, 100 * result.kept_ratio.schedule_average);
  if (!find_method(result.request.method.key).step_cache.empty()) {
    const auto left_out = std::count_if(result.steps.begin(), result.steps.end(), [](const StepRecord& s) { return s.reused_ratio == 1; });
    line += print_text("   reused %.1f %% of blocks, %d of %zu calls skipped", 100 * result.reused_ratio, static_cast<int>(left_out),
                       result.steps.size());
  }
  if (run.psnr_db) line += print_text("   %.1f dB (%s)", *run.psnr_db, std::string(psnr_band(*run.psnr_db)).c_str());
  if (run.ssim) line += print_text(", SSIM %.3f", *run.ssim);
  if (result.stopped) line += print_text("   stopped after step %zu of %d", result.steps.size(), result.request.steps);
  return line;
}

}  // namespace

void Report::add(const ComparedRun& run, std::size_t prompt_index, const std::filesystem::path& output) {
  if (request_.is_null()) request_ = Json::parse(to_json(run.result.request));
  Json json = json_of(run);
  json["prompt_index"] = prompt_index;
  std::string line = line_of(run);
  if (!output.empty()) {
    json["output"] = output.string();
    line += "   -> " + output.string();
  }
  runs_.push_back(std::move(json));
  lines_.push_back(std::move(line));
  for (const std::string& notice : run.result.notices) lines_.push_back("  note: " + notice);
  stopped_ |= run.result.stopped;
  if (run.error && failure_ == 0) failure_ = cli::exit_code(*run.error);
}

void Report::add_error(std::size_t prompt_index, const std::string& prompt, ErrorKind kind, const std::string& message) {
  errors_.push_back({{"prompt_index", prompt_index}, {"prompt", prompt}, {"kind", error_kind_name(kind)}, {"message", message}});
  lines_.push_back("prompt " + std::to_string(prompt_index + 1) + " failed: " + message);
  if (failure_ == 0) failure_ = cli::exit_code(kind);
}

void Report::add_side_by_side(const std::filesystem::path& output) {
  side_by_side_.push_back(output.string());
  lines_.push_back("side by side   -> " + output.string());
}

void Report::add_capture(const Json& capture) {
  captures_.push_back(capture);
  std::string line = "capture        -> " + capture["file"].get<std::string>() + ", " + bytes_text(capture["bytes"].get<double>());
  if (capture["gaps"] > 0) line += ", left out " + bytes_text(capture["gap_bytes"].get<double>());
  lines_.push_back(std::move(line));
}

int Report::exit_code() const {
  return stopped_ ? static_cast<int>(kStopped) : failure_;
}

void Report::print() const {
  if (!json_wanted()) {
    std::string text;
    for (const std::string& line : lines_) text += (text.empty() ? "" : "\n") + line;
    print_result(text);
    return;
  }
  Json json = {{"runs", runs_},
               {"seed", request_.is_null() ? Json() : request_["seed"]},
               {"model", request_.is_null() ? Json() : request_["model"]},
               {"request", request_},
               {"versions", Generator::versions()},
               {"recipes", {{"psnr_db", Psnr::kRecipe}, {"ssim", Ssim::kRecipe}}}};
  if (!captures_.empty()) json["capture"] = captures_.size() == 1 ? captures_[0] : captures_;
  if (!errors_.empty()) json["errors"] = errors_;
  if (!side_by_side_.empty()) json["side_by_side"] = side_by_side_.size() == 1 ? side_by_side_[0] : side_by_side_;
  print_result(json.dump(2, ' ', false, Json::error_handler_t::replace));
}

}  // namespace ditscope::cli
