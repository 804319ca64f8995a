#include "views/inspect/colour_map.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstring>

#include "kernels/error.h"

namespace ditscope::views {
namespace {

/// Every fifth of the 256 published colours, as 0xRRGGBB; between them lies a straight line in sRGB.
using Points = std::array<std::uint32_t, 52>;
constexpr Points kMagma{
    0x000004, 0x02020B, 0x050416, 0x090720, 0x0E0B2B, 0x140E36, 0x1A1042, 0x21114E, 0x29115A, 0x311165, 0x390F6E, 0x420F75,
    0x4A1079, 0x52137C, 0x5A167E, 0x621980, 0x6A1C81, 0x721F81, 0x792282, 0x812581, 0x892881, 0x912B81, 0x992D80, 0xA1307E,
    0xAA337D, 0xB2357B, 0xBA3878, 0xC23B75, 0xCA3E72, 0xD2426F, 0xD9466B, 0xE04C67, 0xE75263, 0xEC5860, 0xF1605D, 0xF4695C,
    0xF7725C, 0xF97B5D, 0xFB8560, 0xFC8E64, 0xFD9869, 0xFEA16E, 0xFEAA74, 0xFEB47B, 0xFEBD82, 0xFEC68A, 0xFECF92, 0xFED89A,
    0xFDE2A3, 0xFDEBAC, 0xFCF4B6, 0xFCFDBF};
constexpr Points kViridis{
    0x440154, 0x46085C, 0x471063, 0x481769, 0x481D6F, 0x482475, 0x472A7A, 0x46307E, 0x453781, 0x433D84, 0x414287, 0x3F4889,
    0x3D4E8A, 0x3A538B, 0x38598C, 0x355E8D, 0x33638D, 0x31688E, 0x2E6D8E, 0x2C718E, 0x2A768E, 0x297B8E, 0x27808E, 0x25848E,
    0x23898E, 0x218E8D, 0x20928C, 0x1F978B, 0x1E9C89, 0x1FA188, 0x21A585, 0x24AA83, 0x28AE80, 0x2EB37C, 0x35B779, 0x3DBC74,
    0x46C06F, 0x50C46A, 0x5AC864, 0x65CB5E, 0x70CF57, 0x7CD250, 0x89D548, 0x95D840, 0xA2DA37, 0xB0DD2F, 0xBDDF26, 0xCAE11F,
    0xD8E219, 0xE5E419, 0xF1E51D, 0xFDE725};
constexpr Points kCividis{
    0x00224E, 0x002656, 0x002A5F, 0x002D68, 0x003070, 0x083370, 0x163770, 0x203A6F, 0x273E6E, 0x2E416D, 0x34456C, 0x3A486C,
    0x3F4C6C, 0x444F6C, 0x49536C, 0x4E566C, 0x535A6D, 0x575D6D, 0x5C616E, 0x60646F, 0x656870, 0x696B71, 0x6D6F72, 0x727274,
    0x767676, 0x7A7A78, 0x7E7D78, 0x838179, 0x888578, 0x8D8878, 0x928C78, 0x969077, 0x9B9476, 0xA09875, 0xA59C74, 0xAAA073,
    0xAFA471, 0xB5A86F, 0xBAAC6D, 0xBFB06B, 0xC4B468, 0xC9B965, 0xCFBD62, 0xD4C15F, 0xDAC65B, 0xDFCA57, 0xE5CF52, 0xEAD34C,
    0xF0D846, 0xF6DD3F, 0xFCE236, 0xFEE838};

using Colours = std::array<std::array<std::uint8_t, 4>, 256>;

std::uint8_t byte_of(double value) { return static_cast<std::uint8_t>(std::clamp(value, 0.0, 255.0) + 0.5); }

Colours between(const Points& points) {
  Colours colours{};
  for (int i = 0; i < 256; ++i) {
    const std::uint32_t low = points[i / 5], high = points[std::min(i / 5 + 1, 51)];
    for (int c = 0; c < 3; ++c) {
      const int shift = 16 - 8 * c;
      const double a = (low >> shift) & 255, b = (high >> shift) & 255;
      colours[i][c] = byte_of(a + (b - a) * (i % 5) / 5);
    }
    colours[i][3] = 255;
  }
  return colours;
}

Colours between(Rgb negative, Rgb zero, Rgb positive) {
  Colours colours{};
  for (int i = 0; i < 256; ++i) {
    const float signed_position = static_cast<float>(i) / 127.5F - 1;
    const Rgb colour = mix(zero, signed_position < 0 ? negative : positive, std::abs(signed_position));
    colours[i] = {byte_of(colour.r * 255), byte_of(colour.g * 255), byte_of(colour.b * 255), 255};
  }
  return colours;
}

constexpr std::array<std::uint8_t, 4> kNanBytes{255, 0, 0, 255}, kInfinityBytes{0, 255, 0, 255};

}  // namespace

std::string exponent_text(double value, int digits) {
  char buffer[48];
  std::snprintf(buffer, sizeof buffer, "%.*e", digits, value);
  std::string text = buffer;
  if (const std::size_t e = text.find('e'); e != std::string::npos) {
    if (text[e + 1] == '+') text.erase(e + 1, 1);
    const std::size_t digit = e + (text[e + 1] == '-' ? 2 : 1);
    while (digit + 1 < text.size() && text[digit] == '0') text.erase(digit, 1);
  }
  return text;
}

double ValueScale::to_axis(double value) const {
  if (kind == Kind::Linear || !std::isfinite(value)) return value;
  const double positive = std::max(value, floor);
  return kind == Kind::Log10 ? std::log10(positive) : std::log2(positive);
}

double ValueScale::to_value(double axis) const {
  return kind == Kind::Linear ? axis : kind == Kind::Log10 ? std::pow(10.0, axis) : std::exp2(axis);
}

std::string ValueScale::text(double axis) const {
  char buffer[32];
  const double value = to_value(axis);
  if (kind == Kind::Log10 && std::abs(axis - std::round(axis)) < 1e-9) {
    std::snprintf(buffer, sizeof buffer, "1e%d", static_cast<int>(std::lround(axis)));
  } else if (value != 0 && (std::abs(value) < 1e-3 || std::abs(value) >= 1e5)) {
    return exponent_text(value, 1);
  } else {
    std::snprintf(buffer, sizeof buffer, kind == Kind::Linear ? "%.4g" : "%.2g", value);
  }
  return buffer;
}

const std::vector<std::string>& ColourMap::names() {
  static const std::vector<std::string> kNames{"magma", "viridis", "cividis", "diverging"};
  return kNames;
}

ColourMap::ColourMap(const std::string& name, const Theme& theme) : name_(name) {
  if (name == "magma") {
    colours_ = between(kMagma);
  } else if (name == "viridis") {
    colours_ = between(kViridis);
  } else if (name == "cividis") {
    colours_ = between(kCividis);
  } else if (name == "diverging") {
    colours_ = between(theme.colour("negative"), theme.colour("zero"), theme.colour("positive"));
  } else {
    throw Error{ErrorKind::InvalidArgument, "expected the colour map magma, viridis, cividis or diverging, got '" + name + "'"};
  }
}

Rgb ColourMap::at(double position) const {
  if (std::isnan(position)) return kNan;
  const auto& colour = colours_[static_cast<std::size_t>(std::clamp(position, 0.0, 1.0) * 255 + 0.5)];
  return {colour[0] / 255.0F, colour[1] / 255.0F, colour[2] / 255.0F};
}

Rgb ColourMap::of(double value, const ValueScale& scale, const ValueRange& range) const {
  if (std::isnan(value)) return kNan;
  if (std::isinf(value)) return kInfinity;
  return at(range.position(scale.to_axis(value)));
}

void ColourMap::paint(std::span<const float> values, const ValueScale& scale, const ValueRange& range, std::uint8_t* rgba) const {
  const float least = static_cast<float>(scale.floor), black = static_cast<float>(range.black);
  const float stretch = range.white > range.black ? static_cast<float>(255 / (range.white - range.black)) : 1e30F;
  for (const float value : values) {
    const std::uint8_t* colour;
    if (std::isfinite(value)) {
      float axis = value;
      if (scale.kind == ValueScale::Kind::Log10) axis = std::log10(std::max(value, least));
      if (scale.kind == ValueScale::Kind::Log2) axis = std::log2(std::max(value, least));
      colour = colours_[static_cast<std::size_t>(std::clamp((axis - black) * stretch, 0.0F, 255.0F) + 0.5F)].data();
    } else {
      colour = (std::isnan(value) ? kNanBytes : kInfinityBytes).data();
    }
    std::memcpy(rgba, colour, 4);
    rgba += 4;
  }
}

}  // namespace ditscope::views
