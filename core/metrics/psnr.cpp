#include "core/metrics/psnr.h"

#include <algorithm>
#include <cmath>
#include <string>

#include "kernels/error.h"

namespace ditscope {
namespace {

std::string shape_text(const Frames& frames) {
  return std::to_string(frames.count) + " frames of " + std::to_string(frames.width) + " x " + std::to_string(frames.height) + " px";
}

bool holds_together(const Frames& frames) {
  return frames.count > 0 && frames.height > 0 && frames.width > 0 && frames.rgb.size() == frames.frame_size() * frames.count;
}

double decibel(double mean_squared_error) {
  // max() would turn a NaN into the floor, that is into "equal": keep it.
  if (std::isnan(mean_squared_error)) return mean_squared_error;
  return 10.0 * std::log10(1.0 / std::max(mean_squared_error, Psnr::kMseFloor));
}

}  // namespace

void require_same_shape(const Frames& video, const Frames& reference, std::string_view metric) {
  const std::string name(metric);
  if (!holds_together(video) || !holds_together(reference)) {
    throw Error(ErrorKind::InvalidArgument, name + " expected two videos with pixels, got " + shape_text(video) + " and " +
                                                shape_text(reference) + "; compare finished runs");
  }
  if (video.count != reference.count || video.height != reference.height || video.width != reference.width) {
    throw Error(ErrorKind::InvalidArgument, name + " expected videos of one shape, got " + shape_text(video) + " and " +
                                                shape_text(reference) + "; generate both with the same frames and size");
  }
}

namespace {

double squared_error(const Frames& video, int frame, const Frames& reference, int reference_frame) {
  const float *a = video.frame(frame), *b = reference.frame(reference_frame);
  double sum = 0;
  for (std::size_t i = 0; i < video.frame_size(); ++i) {
    const double difference = static_cast<double>(a[i]) - static_cast<double>(b[i]);
    sum += difference * difference;
  }
  return sum;
}

}  // namespace

double frame_psnr(const Frames& video, int frame, const Frames& reference, int reference_frame) {
  if (!holds_together(video) || !holds_together(reference) || video.height != reference.height || video.width != reference.width || frame < 0 ||
      frame >= video.count || reference_frame < 0 || reference_frame >= reference.count) {
    throw Error(ErrorKind::InvalidArgument, "expected a frame of each of two videos of one size, got frames " + std::to_string(frame) + " and " +
                                                std::to_string(reference_frame) + " of " + shape_text(video) + " and " + shape_text(reference));
  }
  return decibel(squared_error(video, frame, reference, reference_frame) / static_cast<double>(video.frame_size()));
}

Psnr psnr(const Frames& video, const Frames& reference) {
  require_same_shape(video, reference, Psnr::kRecipe);
  Psnr result;
  result.per_frame_db.reserve(video.count);
  const std::size_t values = video.frame_size();
  double pooled = 0;
  for (int index = 0; index < video.count; ++index) {
    const double sum = squared_error(video, index, reference, index);
    pooled += sum;
    result.per_frame_db.push_back(decibel(sum / static_cast<double>(values)));
  }
  double total = 0;
  result.min_db = result.per_frame_db.front();
  for (const double value : result.per_frame_db) {
    total += value;
    result.min_db = std::isnan(value) || std::isnan(result.min_db) ? std::nan("") : std::min(result.min_db, value);
  }
  result.mean_db = total / video.count;
  result.pooled_db = decibel(pooled / (static_cast<double>(values) * video.count));
  return result;
}

std::string_view psnr_band(double mean_db) {
  if (mean_db >= 30) return "near-identical";
  if (mean_db >= 25) return "close";
  if (mean_db >= 20) return "visible";
  return "diverged";
}

std::string_view psnr_formula() {
  return "psnr_rgb_v1: 10 log10(1 / MSE), RGB 0..1 before encoding, MSE over rows, columns and channels of a frame "
         "(floor 1e-10), mean over frames";
}

}  // namespace ditscope
