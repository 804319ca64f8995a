#pragma once
#include <optional>
#include <string>
#include <vector>

#include "core/pipeline/generator.h"

namespace ditscope::views {

/// One run against the first of its job, on decoded frames before any encoding.
struct PairMetrics {
  std::vector<double> psnr_per_frame;  ///< 100 dB where a frame is identical
  double psnr_db = 0;                  ///< mean over frames
  double worst_db = 0;                 ///< lowest frame
  double ssim = 0;
  bool frames_from_video = false;  ///< frames read back from a stored video: their PSNR is near the raw one, not it
  bool operator==(const PairMetrics&) const = default;
};

enum class Band { NearIdentical, Close, Visible, Diverged };
/// >= 30 near-identical, 25-30 close, 20-25 visible, < 20 diverged.
Band band_of(double psnr_db);
const char* band_name(Band band);

/// A line of the results table.
struct RunFigures {
  std::string method_name;
  double total_seconds = 0;
  double attention_seconds = 0;
  std::optional<double> per_sparse_step_seconds;  ///< attention, mean over sparse steps; the reference: over all its steps
  std::optional<PairMetrics> metrics;             ///< none for the reference
  KeptRatio kept_ratio;
  int sparse_steps = 0;
  bool stopped = false;
};

RunFigures figures_of(const RunResult& result, const std::optional<PairMetrics>& metrics);

/// One run against the reference. Below 1 means slower, and is said so.
struct Speed {
  double total = 1, attention = 1;
  std::optional<double> per_sparse_step;
  double ceiling = 1;  ///< what the schedule allows: 1 / mean kept over steps, a refresh counted 1 + kept
};
Speed speed_of(const RunFigures& reference, const RunFigures& run);

/// Work skipped beside time saved, 0..1; negative savings are losses.
struct HonestBar {
  std::string label;
  std::optional<double> skipped;
  double saved = 0;
};
std::vector<HonestBar> honest_bars(const RunFigures& reference, const RunFigures& run);

/// "1.29 ×", or "Slower than full: 0.97 ×".
std::string speed_text(double factor);

/// Seconds a run will take, scaled from a finished one of the same model, size and method; none where they differ.
std::optional<double> estimate_seconds(const Request& wanted, const Request& known, double known_seconds);

}  // namespace ditscope::views
