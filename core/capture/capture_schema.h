#pragma once
// Internal to core/capture: the tables of a .ditcap file and how rows map to structs.
#include <concepts>
#include <optional>
#include <string>
#include <type_traits>
#include <vector>

#include "core/capture/records.h"
#include "core/history/sqlite.h"

namespace ditscope::capture_file {

inline constexpr std::int64_t kApplicationId = 0x44695463;  ///< "DiTc", bytes 68..71 of the file
inline constexpr int kMajor = 1, kMinor = 2;
inline constexpr int kPage_bytes = 4096;
inline constexpr std::int64_t kChunksPerTensor = std::int64_t{1} << 20;
inline constexpr std::size_t kLargestChunk_bytes = std::size_t{4} << 20;

/// CREATE statements, one an element, as they stand in sqlite_schema of a file of this minor version.
const std::vector<std::string>& schema(int minor = kMinor);

/// Calls `visit(column name, field)` for each column that maps to a field, in the order of the table.
template <typename Row, typename Visit>
  requires std::same_as<std::remove_const_t<Row>, CaptureHead>
void visit_columns(Row& r, Visit&& visit) {
  visit("head", r.head), visit("plan_id", r.plan_id), visit("age_steps", r.age_steps), visit("iou_previous", r.iou_previous);
  visit("kept_ratio_requested", r.kept_ratio_requested), visit("kept_ratio_achieved", r.kept_ratio_achieved);
  visit("kept_ratio_tiles", r.kept_ratio_tiles), visit("recall", r.recall);
  visit("rho_true_mean", r.rho_true_mean), visit("rho_true_p05", r.rho_true_p05), visit("rho_true_p50", r.rho_true_p50);
  visit("rho_true_p95", r.rho_true_p95), visit("rho_used_mean", r.rho_used_mean), visit("rho_used_p05", r.rho_used_p05);
  visit("rho_used_p95", r.rho_used_p95), visit("rho_over_one_ratio", r.rho_over_one_ratio), visit("row_mass_mean", r.row_mass_mean);
  visit("lse_mean", r.lse_mean), visit("lse_p05", r.lse_p05), visit("lse_p50", r.lse_p50), visit("lse_p95", r.lse_p95);
  visit("lse_delta_mean", r.lse_delta_mean), visit("error_ratio", r.error_ratio), visit("error_l1_ratio", r.error_l1_ratio);
  visit("error_cosine", r.error_cosine), visit("residual_ratio", r.residual_ratio), visit("plan_ms", r.plan_ms);
  visit("execute_ms", r.execute_ms), visit("correct_ms", r.correct_ms), visit("pv_left_out_ratio", r.pv_left_out_ratio);
  visit("nonfinite_count", r.nonfinite_count);
}

template <typename Row, typename Visit>
  requires std::same_as<std::remove_const_t<Row>, CaptureCall>
void visit_columns(Row& r, Visit&& visit) {
  visit("call_id", r.call_id), visit("run_id", r.run_id), visit("step", r.step), visit("layer", r.layer), visit("branch", r.branch);
  visit("action", r.action), visit("plan_ms", r.plan_ms), visit("execute_ms", r.execute_ms), visit("correct_ms", r.correct_ms);
  visit("measure_ms", r.measure_ms), visit("shadow_ms", r.shadow_ms), visit("flops_dense", r.flops_dense), visit("flops_done", r.flops_done);
  visit("plan_bytes", r.plan_bytes), visit("state_bytes", r.state_bytes), visit("sampled_rows", r.sampled_rows);
  visit("nonfinite_count", r.nonfinite_count), visit("rows_sha256", r.rows_sha256);
}

template <typename Row, typename Visit>
  requires std::same_as<std::remove_const_t<Row>, CaptureStep>
void visit_columns(Row& r, Visit&& visit) {
  visit("run_id", r.run_id), visit("step", r.step), visit("timestep", r.timestep), visit("sigma", r.sigma);
  visit("guidance_scale", r.guidance_scale), visit("action", r.action), visit("step_ms", r.step_ms);
  visit("attention_ms", r.attention_ms), visit("capture_ms", r.capture_ms), visit("shadow_ms", r.shadow_ms);
  visit("kept_ratio_requested", r.kept_ratio_requested), visit("kept_ratio", r.kept_ratio), visit("state_bytes", r.state_bytes);
  visit("latent_error_ratio", r.latent_error_ratio), visit("replay_from", r.replay_from);
}

/// The minor version that brought a column.
template <typename Row>
int column_minor(const std::string& name) {
  if constexpr (std::same_as<Row, CaptureHead>) {
    if (name == "plan_ms" || name == "pv_left_out_ratio") return 2;
  }
  return name == "correct_ms" ? 2 : 0;
}

/// Names of the columns, comma separated; NULL for those that files of this version do not have.
template <typename Row>
std::string column_names(int version = 1000 * kMajor + kMinor) {
  std::string names;
  Row row;
  visit_columns(row, [&](const char* name, auto&) {
    const bool there = version >= 1000 * kMajor + column_minor<Row>(name);
    names += std::string(names.empty() ? "" : ", ") + (there ? "" : "NULL AS ") + name;
  });
  return names;
}

/// A question mark for each column.
template <typename Row>
std::string column_places() {
  std::string places;
  Row row;
  visit_columns(row, [&](const char*, auto&) { places += places.empty() ? "?" : ",?"; });
  return places;
}

/// Binds every column of a row. @param statement  INSERT with as many parameters
template <typename Row>
void bind_columns(sqlite::Statement& statement, const Row& row) {
  visit_columns(row, [&](const char*, const auto& value) {
    using T = std::decay_t<decltype(value)>;
    if constexpr (std::is_same_v<T, std::optional<std::int64_t>>)
      value ? statement.bind(*value) : statement.bind(std::optional<double>());
    else
      statement.bind(value);
  });
}

/// Reads every column from `first` on.
template <typename Row>
void read_columns(const sqlite::Statement& statement, Row& row, int first = 0) {
  visit_columns(row, [&](const char*, auto& value) {
    using T = std::decay_t<decltype(value)>;
    const int column = first++;
    if constexpr (std::is_same_v<T, std::string>) {
      value = statement.text(column);
    } else if constexpr (std::is_same_v<T, std::optional<double>>) {
      value = statement.optional_real(column);
    } else if constexpr (std::is_same_v<T, std::optional<std::int64_t>>) {
      if (const auto real = statement.optional_real(column)) value = static_cast<std::int64_t>(*real);
    } else if constexpr (std::is_same_v<T, double>) {
      value = statement.real(column);
    } else {
      value = static_cast<T>(statement.integer(column));
    }
  });
}

}  // namespace ditscope::capture_file
