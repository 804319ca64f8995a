#pragma once
#include <string_view>
#include <vector>

#include "core/media/frames.h"

namespace ditscope {

/// SSIM of a video against a reference, recipe "ssim_rgb_gauss11_v1": Gaussian window 11 x 11 with sigma 1.5, C1 = 0.01^2,
/// C2 = 0.03^2 for values in 0..1, population covariance, each of R, G, B on its own, only where the window lies inside the
/// frame; mean over positions and channels of a frame, then over frames. Not comparable with box-window or luma SSIM.
/// @see Wang et al. 2004, "Image quality assessment: from error visibility to structural similarity", eq. 13
struct Ssim {
  static constexpr std::string_view kRecipe = "ssim_rgb_gauss11_v1";
  static constexpr int kWindow_px = 11;
  static constexpr double kSigma_px = 1.5;

  double mean = 0;                 ///< the figure to quote
  double min = 0;                  ///< worst frame
  std::vector<double> per_frame;   // (F)
};

/// @param video,reference  equal shapes, height and width at least 11 px
/// @throws Error{InvalidArgument} when the shapes disagree or a side is shorter than the window
Ssim ssim(const Frames& video, const Frames& reference);

/// The recipe in one sentence, for tooltips and reports.
std::string_view ssim_formula();

}  // namespace ditscope
