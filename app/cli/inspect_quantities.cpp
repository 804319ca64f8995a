#include "app/cli/inspect_quantities.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <map>

#include "core/capture/capture_diff.h"
#include "kernels/error.h"

namespace ditscope::cli {
namespace {

const std::map<std::string, std::string>& short_names() {
  static const std::map<std::string, std::string> kNames{{"error", "error_ratio"}, {"rho", "rho_true_mean"}, {"rho_used", "rho_used_mean"},
                                                         {"row_mass", "row_mass_mean"}, {"lse", "lse_mean"}, {"iou", "iou_previous"}};
  return kNames;
}

double measured(const std::optional<double>& value, const std::string& quantity) {
  if (value && std::isfinite(*value)) return *value;
  throw Error(ErrorKind::NotFound, "The run has no " + quantity + ": it was not measured. `inspect --json` shows what was.");
}

/// The column of the table heads and which of its values; no column: no such quantity.
struct HeadQuantity {
  std::string column;
  enum class Of { Mean, Least, Most } of = Of::Mean;
};

std::optional<HeadQuantity> head_quantity(std::string name) {
  const auto known = [](const std::string& column) -> std::optional<std::string> {
    const auto it = short_names().find(column);
    const std::string& full = it == short_names().end() ? column : it->second;
    const auto& columns = CaptureReader::head_columns();
    return std::find(columns.begin(), columns.end(), full) == columns.end() ? std::nullopt : std::optional(full);
  };
  if (const auto column = known(name)) return HeadQuantity{*column};
  if (name.size() < 5) return {};
  const std::string end = name.substr(name.size() - 4);
  const auto column = known(name.substr(0, name.size() - 4));
  if (!column || (end != "_min" && end != "_max")) return {};
  return HeadQuantity{*column, end == "_min" ? HeadQuantity::Of::Least : HeadQuantity::Of::Most};
}

double of_heads(const CaptureReader& reader, const CaptureRun& run, const HeadQuantity& wanted, const std::string& quantity, const QuantityScope& scope) {
  double sum = 0, least = INFINITY, most = -INFINITY;
  std::int64_t count = 0;
  for (const auto& value : reader.head_values(run.run_id, wanted.column, scope.step)) {
    const bool counts = (!scope.layer || value.layer == *scope.layer) && (!scope.head || value.head == *scope.head) &&
                        (!scope.branch || value.branch == *scope.branch) && !std::isnan(value.value);
    if (!counts) continue;
    sum += value.value;
    least = std::min(least, value.value);
    most = std::max(most, value.value);
    ++count;
  }
  if (count == 0) return measured({}, quantity);
  return wanted.of == HeadQuantity::Of::Least ? least : wanted.of == HeadQuantity::Of::Most ? most : sum / static_cast<double>(count);
}

}  // namespace

const char* const kQuantityHelp =
    "Quantities: psnr (frames against run A's, dB), kept, kept_requested, total_ms, attention_ms, capture_ms, shadow_ms, peak_bytes,\n"
    "  steps, latent_error, nonfinite; and of heads, as the mean over the calls that --step, --layer, --head and --branch name (all\n"
    "  without them) or with _min or _max behind: recall, error, error_l1_ratio, error_cosine, rho, rho_used, row_mass, lse, iou and\n"
    "  every other column of the table heads (docs/capture.md).";

bool Assertion::holds(double value) const {
  if (comparison == ">=") return value >= bound;
  if (comparison == "<=") return value <= bound;
  if (comparison == ">") return value > bound;
  if (comparison == "<") return value < bound;
  return comparison == "==" ? value == bound : value != bound;
}

Assertion parse_assertion(const std::string& text) {
  const auto bad = [&] {
    return Error(ErrorKind::InvalidArgument, "expected QUANTITY>=NUMBER (or <=, >, <, ==, !=), as in 'psnr>=28', got '" + text + "'");
  };
  std::string packed;
  std::copy_if(text.begin(), text.end(), std::back_inserter(packed), [](char c) { return c != ' '; });
  const std::size_t at = packed.find_first_of("<>=!");
  if (at == std::string::npos || at == 0) throw bad();
  const std::size_t length = at + 1 < packed.size() && packed[at + 1] == '=' ? 2 : 1;
  Assertion assertion{packed.substr(0, at), packed.substr(at, length), 0};
  if (assertion.comparison == "=" || assertion.comparison == "!") throw bad();
  const char* begin = packed.data() + at + length;
  const char* end = packed.data() + packed.size();
  const auto [stop, error] = std::from_chars(begin, end, assertion.bound);
  if (error != std::errc() || stop != end) throw bad();
  return assertion;
}

double run_quantity(const CaptureReader& reader, const CaptureRun& run, const CaptureReader& reference_reader, int reference_run,
                    const std::string& quantity, const QuantityScope& scope) {
  if (quantity == "psnr") {
    return measured(capture_difference(reference_reader, reference_run, reader, run.run_id).frame_psnr_db, quantity);
  }
  if (quantity == "kept" && !scope.step && !scope.layer && !scope.head) return measured(run.kept_ratio_achieved, quantity);
  if (quantity == "kept") return of_heads(reader, run, {"kept_ratio_achieved"}, quantity, scope);
  if (quantity == "kept_requested") return measured(run.kept_ratio_requested, quantity);
  if (quantity == "total_ms") return measured(run.total_ms, quantity);
  if (quantity == "attention_ms") return measured(run.attention_ms, quantity);
  if (quantity == "capture_ms") return measured(run.capture_ms, quantity);
  if (quantity == "shadow_ms") return measured(run.shadow_ms, quantity);
  if (quantity == "peak_bytes") return static_cast<double>(run.peak_bytes);
  if (quantity == "steps") return static_cast<double>(reader.steps(run.run_id).size());
  if (quantity == "latent_error") {
    std::optional<double> most;
    for (const CaptureStep& step : reader.steps(run.run_id)) {
      if (step.latent_error_ratio && (!scope.step || step.step == *scope.step)) most = std::max(most.value_or(0), *step.latent_error_ratio);
    }
    return measured(most, quantity);
  }
  if (quantity == "nonfinite") {
    double count = 0;
    for (const CaptureCall& call : reader.calls(run.run_id, scope.step.value_or(-1), false)) count += static_cast<double>(call.nonfinite_count);
    return count;
  }
  if (const auto wanted = head_quantity(quantity)) return of_heads(reader, run, *wanted, quantity, scope);
  throw Error(ErrorKind::InvalidArgument, "There is no quantity '" + quantity + "'.\n" + kQuantityHelp);
}

}  // namespace ditscope::cli
