#include "app/cli/capture_json.h"

#include <cmath>

namespace ditscope::cli {

using Json = nlohmann::json;

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

namespace {

Json json_of(const CaptureHead& head) {
  const auto count = [](const std::optional<std::int64_t>& value) { return value ? Json(*value) : Json(); };
  return {{"head", head.head},
          {"plan_id", head.plan_id},
          {"age_steps", count(head.age_steps)},
          {"iou_previous", or_null(head.iou_previous)},
          {"kept_ratio_requested", or_null(head.kept_ratio_requested)},
          {"kept_ratio_achieved", or_null(head.kept_ratio_achieved)},
          {"kept_ratio_tiles", or_null(head.kept_ratio_tiles)},
          {"recall", or_null(head.recall)},
          {"rho_true", {{"mean", or_null(head.rho_true_mean)}, {"p05", or_null(head.rho_true_p05)}, {"p50", or_null(head.rho_true_p50)}, {"p95", or_null(head.rho_true_p95)}}},
          {"rho_used", {{"mean", or_null(head.rho_used_mean)}, {"p05", or_null(head.rho_used_p05)}, {"p95", or_null(head.rho_used_p95)}, {"over_one_ratio", or_null(head.rho_over_one_ratio)}}},
          {"row_mass_mean", or_null(head.row_mass_mean)},
          {"lse", {{"mean", or_null(head.lse_mean)}, {"p05", or_null(head.lse_p05)}, {"p50", or_null(head.lse_p50)}, {"p95", or_null(head.lse_p95)}, {"delta_mean", or_null(head.lse_delta_mean)}}},
          {"error_ratio", or_null(head.error_ratio)},
          {"error_l1_ratio", or_null(head.error_l1_ratio)},
          {"error_cosine", or_null(head.error_cosine)},
          {"residual_ratio", or_null(head.residual_ratio)},
          {"plan_ms", or_null(head.plan_ms)},
          {"execute_ms", or_null(head.execute_ms)},
          {"correct_ms", or_null(head.correct_ms)},
          {"pv_left_out_ratio", or_null(head.pv_left_out_ratio)},
          {"nonfinite_count", head.nonfinite_count}};
}

}  // namespace

Json json_of(const CaptureCall& call) {
  Json heads = Json::array();
  for (const CaptureHead& head : call.heads) heads.push_back(json_of(head));
  return {{"step", call.step},
          {"layer", call.layer},
          {"branch", call.branch},
          {"action", call.action},
          {"plan_ms", or_null(call.plan_ms)},
          {"execute_ms", or_null(call.execute_ms)},
          {"correct_ms", or_null(call.correct_ms)},
          {"measure_ms", or_null(call.measure_ms)},
          {"shadow_ms", or_null(call.shadow_ms)},
          {"flops_dense", or_null(call.flops_dense)},
          {"flops_done", or_null(call.flops_done)},
          {"plan_bytes", call.plan_bytes},
          {"state_bytes", call.state_bytes},
          {"sampled_rows", call.sampled_rows},
          {"nonfinite_count", call.nonfinite_count},
          {"heads", heads}};
}

}  // namespace ditscope::cli
