#include "core/pipeline/attend_capture.h"

#include <ATen/ATen.h>

#include <nlohmann/json.hpp>

#include "core/capture_run/recorder.h"
#include "kernels/error.h"

namespace ditscope {
namespace {

using Json = nlohmann::json;

CaptureOptions options_of(const AttendRequest& request) {
  CaptureOptions options;
  options.level = CaptureOptions::Level::Full;
  options.budget_bytes = 0;
  options.layers = IndexSet(std::to_string(request.layer));
  options.steps = options.shadow = IndexSet("all");
  return options;
}

/// "unconditional" and "conditional" where there is one of each, else with the number of the batch element.
std::vector<std::string> branches_of(const AttendRequest& request, std::int64_t batch) {
  std::vector<std::string> names;
  for (std::int64_t b = 0; b < batch; ++b) {
    const bool conditional = request.conditional.empty() || request.conditional[static_cast<std::size_t>(b)];
    names.push_back(conditional ? "conditional" : "unconditional");
  }
  const bool clear = batch == 1 || (batch == 2 && names[0] != names[1]);
  for (std::int64_t b = 0; b < batch && !clear; ++b) names[static_cast<std::size_t>(b)] += " " + std::to_string(b);
  return names;
}

CaptureRun run_of(const AttendRequest& request, at::IntArrayRef shape, at::ScalarType type, const MethodChoice& choice, int total_steps) {
  const std::string file = request.tensors.filename().string();
  Json parameters = Json::object();
  for (const auto& [key, value] : choice.parameters) parameters[key] = std::visit([](const auto& v) { return Json(v); }, value);
  CaptureRun run;
  run.name = run.method = choice.key;
  run.parameters = parameters.dump();
  run.schedule = schedule_json(choice, total_steps, request.layers);
  run.branches = branches_of(request, shape[1]);
  run.dtype = type == at::kFloat ? "float32" : type == at::kHalf ? "float16" : "bfloat16";
  run.request = Json{{"tensors", file}, {"method", {{"key", choice.key}, {"parameters", parameters}}}}.dump();
  run.steps = total_steps;
  run.frames = static_cast<int>(request.frames);
  run.model.name = file;
  run.model.class_name = "tensors";
  run.model.config = "{}";
  run.model.layers = request.layers;
  run.model.heads = static_cast<int>(shape[2]);
  run.model.head_width = static_cast<int>(shape[4]);
  run.environment = environment_json(run.dtype, "cpu");
  return run;
}

CaptureSizes sizes_of(const AttendRequest& request, at::IntArrayRef shape) {
  CaptureSizes sizes;
  sizes.steps = sizes.dense_steps = static_cast<int>(shape[0]);
  sizes.layers = 1;
  sizes.branches = static_cast<int>(shape[1]);
  sizes.heads = static_cast<int>(shape[2]);
  sizes.head_width = static_cast<int>(shape[4]);
  sizes.tokens = shape[3];
  sizes.text_tokens = request.text_tokens;
  return sizes;
}

}  // namespace

AttendCapture::AttendCapture(const AttendRequest& request, at::IntArrayRef shape, at::ScalarType type, const AttentionSession& session)
    : writer_(request.capture, options_of(request)) {
  const int total = request.total_steps > 0 ? request.total_steps : request.first_step + static_cast<int>(shape[0]);
  const TokenLayout layout{request.text_tokens, request.text_first, request.frames, request.rows, request.columns};
  recorder_ = RunRecorder::begin(writer_, run_of(request, shape, type, session.choice(), total), layout, sizes_of(request, shape));
}

AttendCapture::~AttendCapture() = default;

void AttendCapture::on_call(const LayerMeasure& measure, const LayerCall& call, const BlockPlan& plan, const at::Tensor& out) {
  recorder_->sink()(measure, call, plan, out);
}

void AttendCapture::end_step(const AttentionSession& session, int step) {
  const StepRecord record = session.step_record(step);
  CaptureStep row;
  row.step = row.replay_from = step;
  row.action = step_kind_name(record.kind);
  row.step_ms = row.attention_ms = record.attention_seconds * 1e3;
  row.kept_ratio_requested = record.kept_ratio_requested;
  row.kept_ratio = record.kept_ratio_achieved;
  row.state_bytes = session.bytes_held();
  recorder_->end_step(std::move(row));
}

void AttendCapture::close(const AttentionSession& session, const std::string& state) {
  recorder_->end_run([&](CaptureRun& run) {
    const KeptRatios kept = session.kept_ratios();
    run.state = state;
    run.total_ms = run.attention_ms = session.attention_seconds() * 1e3;
    run.kept_ratio_requested = kept.requested;
    run.kept_ratio_achieved = kept.achieved;
  });
  writer_.close(state);
  if (const CaptureTotals totals = writer_.totals(); !totals.message.empty())
    throw Error(ErrorKind::Device, writer_.file().string() + " is incomplete: " + totals.message);
}

}  // namespace ditscope
