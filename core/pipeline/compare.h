#pragma once
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "core/pipeline/generator.h"
#include "kernels/error.h"

namespace ditscope {

/// One run of a comparison, measured against the first.
struct ComparedRun {
  RunResult result;
  std::optional<double> psnr_db;   ///< against the first run; empty for the first, for stopped and failed runs
  std::optional<double> ssim;      ///< likewise; also empty where a side is shorter than the metric's window
  std::optional<ErrorKind> error;  ///< the run failed; `result.request` says which it was
  std::string message;
};

/// Runs one request once for each method, all on the same noise; the first is the reference.
///
/// A method that fails does not take the others with it; the reference does, by throwing. A stop ends the comparison: the
/// stopped run is the last one returned.
/// @param on_begin  called before each run with its index; may be empty
/// @param capture   where all runs are recorded; null: nowhere
/// @throws Error of the reference; Error{InvalidArgument, NotFound} where any method or setting is wrong, before anything runs
std::vector<ComparedRun> compare(Generator& generator, const Request& request, const std::vector<MethodChoice>& methods,
                                 EventSink& sink, RunControl& control, const std::function<void(std::size_t)>& on_begin = {},
                                 CaptureWriter* capture = nullptr);

/// PSNR and SSIM of `run` against `reference`, where both have frames of one shape.
void measure_against(const RunResult& reference, ComparedRun& run);

/// "full;re-ttention:kept_ratio=0.0625;window" -> three choices; blanks around `;` and empty parts are ignored.
/// @throws Error{InvalidArgument} where nothing is left; what parse_method_choice() throws
std::vector<MethodChoice> parse_method_list(const std::string& text);

}  // namespace ditscope
