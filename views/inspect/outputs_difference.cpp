#include "views/inspect/outputs_difference.h"

#include <algorithm>
#include <cmath>
#include <cstdio>

#include "kernels/error.h"
#include "views/inspect/colour_map.h"
#include "views/state/compare.h"

namespace ditscope::views {
namespace {

/// What counts as no difference: rounding of 8 bits.
constexpr double kFloor = 4.0 / 255.0;

}  // namespace

const std::vector<std::string>& pixel_difference_names() {
  static const std::vector<std::string> kNames = {"absolute", "signed", "square", "relative"};
  return kNames;
}

PixelDifference pixel_difference_of(const std::string& name) {
  if (name == "signed") return PixelDifference::Signed;
  if (name == "absolute") return PixelDifference::Absolute;
  if (name == "square") return PixelDifference::Square;
  if (name == "relative") return PixelDifference::Relative;
  throw Error{ErrorKind::InvalidArgument, "expected a difference of absolute, signed, square, relative, got '" + name + "'"};
}

double pixel_difference(PixelDifference mode, double reference, double image) {
  const double difference = image - reference;
  switch (mode) {
    case PixelDifference::Signed:
      return difference;
    case PixelDifference::Absolute:
      return std::fabs(difference);
    case PixelDifference::Square:
      return difference * difference;
    case PixelDifference::Relative:
      return std::fabs(difference) / (std::fmax(reference, 0.0) + 0.01);
  }
  return 0;
}

double difference_p99(PixelDifference mode, const Frames& reference, const Frames& image, int shift) {
  if (mode != PixelDifference::Relative) {
    const double absolute = difference_p99(reference, image, shift);
    return mode == PixelDifference::Square ? absolute * absolute : absolute;
  }
  if (reference.empty() || image.empty() || reference.width != image.width || reference.height != image.height) return 0;
  const int first = std::max(0, -shift), last = std::min(reference.count, image.count - shift);
  if (last <= first) return 0;
  const std::size_t total = reference.frame_size() * static_cast<std::size_t>(last - first);
  const std::size_t stride = std::max<std::size_t>(1, total / 1'000'000) | 1;
  std::vector<float> values;
  for (std::size_t i = 0; i < total; i += stride) {
    const int frame = first + static_cast<int>(i / reference.frame_size());
    const std::size_t at = i % reference.frame_size();
    const double value = pixel_difference(mode, reference.frame(frame)[at], image.frame(frame + shift)[at]);
    if (std::isfinite(value)) values.push_back(static_cast<float>(value));
  }
  if (values.empty()) return kFloor;
  const auto rank = values.begin() + static_cast<std::ptrdiff_t>(0.99 * static_cast<double>(values.size() - 1));
  std::nth_element(values.begin(), rank, values.end());
  return std::max(kFloor, static_cast<double>(*rank));
}

std::array<std::string, 3> difference_values(PixelDifference mode, const Frames& reference, int reference_frame, const Frames& image, int image_frame, int x, int y) {
  const std::size_t at = std::size_t{3} * (static_cast<std::size_t>(y) * reference.width + static_cast<std::size_t>(x));
  std::array<std::string, 3> values;
  for (std::size_t c = 0; c < 3; ++c) {
    char text[32];
    std::snprintf(text, sizeof text, mode == PixelDifference::Signed ? "%+.3f" : mode == PixelDifference::Square ? "%.5f" : "%.3f",
                  pixel_difference(mode, reference.frame(reference_frame)[at + c], image.frame(image_frame)[at + c]));
    values[c] = text;
  }
  return values;
}

std::shared_ptr<const Bitmap> difference_bitmap(PixelDifference mode, const Frames& reference, int reference_frame, const Frames& image, int image_frame,
                                                double range, const Theme& theme) {
  if (reference.width != image.width || reference.height != image.height || reference.width < 1 || reference.height < 1) return nullptr;
  const ColourMap map("diverging", theme);
  const std::size_t pixels = static_cast<std::size_t>(reference.width) * reference.height;
  std::vector<std::uint8_t> rgba(4 * pixels, 255);
  const float *a = reference.frame(reference_frame), *b = image.frame(image_frame);
  for (std::size_t i = 0; i < pixels; ++i) {
    double channel[3], sum = 0;
    for (int c = 0; c < 3; ++c) {
      channel[c] = pixel_difference(mode, a[3 * i + c], b[3 * i + c]) / range;
      sum += channel[c];
    }
    Rgb colour;
    if (std::isnan(sum)) {
      colour = ColourMap::kNan;
    } else if (std::isinf(sum)) {
      colour = ColourMap::kInfinity;
    } else if (mode == PixelDifference::Signed) {
      colour = map.at(0.5 + sum / 6);
    } else {
      colour = {static_cast<float>(channel[0]), static_cast<float>(channel[1]), static_cast<float>(channel[2])};
    }
    const float channels[3] = {colour.r, colour.g, colour.b};
    for (int c = 0; c < 3; ++c) rgba[4 * i + c] = static_cast<std::uint8_t>(std::clamp(channels[c], 0.0F, 1.0F) * 255 + 0.5F);
  }
  return make_bitmap(reference.width, reference.height, std::move(rgba));
}

std::string difference_text(PixelDifference mode, const std::string& reference, const std::string& image, double range, bool fixed) {
  const std::string pair = image + " - " + reference;
  std::string what;
  switch (mode) {
    case PixelDifference::Signed:
      what = pair;
      break;
    case PixelDifference::Absolute:
      what = "|" + pair + "|";
      break;
    case PixelDifference::Square:
      what = "(" + pair + ")^2";
      break;
    case PixelDifference::Relative:
      what = "|" + pair + "| / (" + reference + " + 0.01)";
      break;
  }
  char text[96];
  if (mode == PixelDifference::Signed) {
    std::snprintf(text, sizeof text, ", -%.3g to +%.3g, %s", range, range, fixed ? "fixed" : "p99");
  } else {
    std::snprintf(text, sizeof text, ", 0 to %.3g, %s", range, fixed ? "fixed" : "p99");
  }
  return what + text;
}

}  // namespace ditscope::views
