#pragma once
#include <optional>
#include <string>
#include <vector>

#include "core/capture/capture_reader.h"

namespace ditscope::cli {

/// Which calls of a run count; what is left open counts all.
struct QuantityScope {
  std::optional<int> step, layer, head, branch;
};

/// "psnr>=28": a quantity, how it is compared, with what.
struct Assertion {
  std::string quantity, comparison;
  double bound = 0;
  bool holds(double value) const;
};

/// @throws Error{InvalidArgument} saying how it is written
Assertion parse_assertion(const std::string& text);

/// A figure of a run. `psnr`, `psnr_first`: its frames against those of the reference; `kept`, `kept_requested`, `total_ms`,
/// `attention_ms`, `capture_ms`, `shadow_ms`, `peak_bytes`, `steps`; `latent_error` (largest over steps), `nonfinite` (sum); and each
/// figure of the table heads (recall, error_ratio, rho_true_mean ...; `recall`, `error`, `rho`, `rho_used`, `row_mass` for short): its
/// mean over the scope, or with _min or _max behind it the smallest or largest.
/// @throws Error{NotFound} where it was not measured; Error{InvalidArgument} naming the quantities that there are
double run_quantity(const CaptureReader& reader, const CaptureRun& run, const CaptureReader& reference_reader, int reference_run,
                    const std::string& quantity, const QuantityScope& scope);

extern const char* const kQuantityHelp;

}  // namespace ditscope::cli
