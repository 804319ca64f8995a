#pragma once
#include <string>
#include <string_view>
#include <vector>

#include "core/media/frames.h"

namespace ditscope {

/// PSNR of a video against a reference, recipe "psnr_rgb_v1": 10 log10(1 / MSE) on decoded RGB in 0..1 before any encoding,
/// the MSE taken over rows, columns and channels of a frame in double precision and floored at 1e-10 (so equal frames give
/// 100 dB). Values are used as they are, never clipped or rounded to 8 bits.
struct Psnr {
  static constexpr std::string_view kRecipe = "psnr_rgb_v1";
  static constexpr double kMseFloor = 1e-10;

  double mean_db = 0;                  ///< mean of the frames' PSNR: the figure to quote
  double min_db = 0;                   ///< worst frame
  double pooled_db = 0;                ///< PSNR of the MSE of the whole video
  std::vector<double> per_frame_db;    // (F)
};

/// @param video,reference  equal frame counts and sizes, at least one frame
/// @throws Error{InvalidArgument} naming both shapes when they disagree
Psnr psnr(const Frames& video, const Frames& reference);

/// The same of one frame of a video against one of another.
/// @throws Error{InvalidArgument} where they differ in size or have no such frame
double frame_psnr(const Frames& video, int frame, const Frames& reference, int reference_frame);

/// How a mean PSNR reads in words: "near-identical" from 30 dB, "close" from 25, "visible" from 20, else "diverged".
/// Never "lossless": a pixel metric cannot know.
std::string_view psnr_band(double mean_db);

/// The recipe in one sentence, for tooltips and reports.
std::string_view psnr_formula();

/// Throws Error{InvalidArgument} unless both videos have the same shape, at least one frame and as many values as that takes.
void require_same_shape(const Frames& video, const Frames& reference, std::string_view metric);

}  // namespace ditscope
