#pragma once
#include <cstdint>
#include <span>

#include "core/media/frames.h"

namespace ditscope::study {

/// A mean with the interval that 95 of 100 resamples of the prompts fall into.
struct Interval {
  double mean = 0, low = 0, high = 0;
  int count = 0;
};

/// Percentile bootstrap of the mean: values are drawn again with replacement, as many as there are. The same seed, the same
/// interval. One value is its own interval; none: count 0.
/// @see Efron and Tibshirani 1993, An Introduction to the Bootstrap, chapter 13
Interval bootstrap_mean(std::span<const double> values, int resamples = 4000, std::uint64_t seed = 1);

/// Flicker of a video, in levels of 255: mean over pixels and channels of |x(f+1) - 2 x(f) + x(f-1)|, frame by frame. Even motion
/// adds little to it, changes that come and go add most. 0 below three frames.
double flicker(const Frames& video);

}  // namespace ditscope::study
