#pragma once
#include <array>
#include <memory>
#include <string>
#include <vector>

#include "core/media/frames.h"
#include "views/inspect/bitmap.h"
#include "views/state/theme.h"

namespace ditscope::views {

/// How a reference r and another image i differ, channel by channel: i - r, |i - r|, (i - r)^2, |i - r| / (r + 0.01).
enum class PixelDifference { Signed, Absolute, Square, Relative };

const std::vector<std::string>& pixel_difference_names();  ///< "signed" "absolute" "square" "relative"
PixelDifference pixel_difference_of(const std::string& name);
double pixel_difference(PixelDifference mode, double reference, double image);

/// The 99th percentile of the size of the difference over the frames that both have (sampled evenly, at most a million), never so
/// small that equal clips show their rounding. 0 where the clips differ in size.
/// @param shift  frame f of the reference meets frame f + shift of the image
double difference_p99(PixelDifference mode, const Frames& reference, const Frames& image, int shift);

/// Red, green and blue of a difference: "+0.039", "0.12".
std::array<std::string, 3> difference_values(PixelDifference mode, const Frames& reference, int reference_frame, const Frames& image, int image_frame, int x, int y);

/// One frame against another of the same size. Signed: mean over channels on the theme's diverging colours; the others: each channel
/// from black to white. NaN red, infinity green. Null where the sizes differ.
std::shared_ptr<const Bitmap> difference_bitmap(PixelDifference mode, const Frames& reference, int reference_frame, const Frames& image, int image_frame,
                                                double range, const Theme& theme);
/// "|B - A|, 0 to 0.310, p99 of this pair": stands on the picture, so that nobody has to guess.
std::string difference_text(PixelDifference mode, const std::string& reference, const std::string& image, double range, bool fixed);

}  // namespace ditscope::views
