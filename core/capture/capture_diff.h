#pragma once
#include <optional>
#include <string>
#include <vector>

#include "core/capture/capture_reader.h"

namespace ditscope {

/// One step of run A against the same step of run B.
struct CaptureStepDifference {
  int step = 0;
  std::optional<double> latent_error_ratio;  ///< |B - A| / |A| of the latents that the step made
  std::optional<double> step_ms_a, step_ms_b, kept_ratio_a, kept_ratio_b;
  std::optional<double> recall_a, recall_b, error_a, error_b;  ///< mean over layers, branches and heads
  std::optional<double> lse_difference;                        ///< mean |lse_B - lse_A| over heads
  std::optional<double> mask_iou;                              ///< mean over heads, by 64 x 64 blocks
};

struct CaptureDifference {
  CaptureRun a, b;
  bool same_noise = false, same_model = false, same_prompt = false, same_sizes = false;
  std::vector<CaptureStepDifference> steps;
  int first_divergence = -1;                 ///< first step whose latents differ by more than the tolerance; -1: none
  std::optional<double> frame_psnr_db;       ///< of the 8-bit frames, where both have some of one size
};

/// Runs of two captures, or of one.
/// @param tolerance  relative RMS of latents that still counts as the same: another order of tokens rounds differently
CaptureDifference capture_difference(const CaptureReader& a, int run_a, const CaptureReader& b, int run_b, double tolerance = 1e-4);

}  // namespace ditscope
