#pragma once
#include <array>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "views/state/theme.h"

namespace ditscope::views {

/// "2.81e-3": printf's %e without zeros in front of the exponent. @param digits  after the point
std::string exponent_text(double value, int digits);

/// How numbers lie along an axis or a colour map: as they are, or by their logarithm.
struct ValueScale {
  enum class Kind { Linear, Log10, Log2 };
  Kind kind = Kind::Linear;
  double floor = 1e-6;  ///< of a logarithm: what is smaller, zero and below included, counts as this

  /// NaN stays NaN, infinity stays infinity.
  double to_axis(double value) const;
  double to_value(double axis) const;
  /// A value at an axis position, as ticks show it: "1e-3", "0.25".
  std::string text(double axis) const;
};

/// What is drawn in the first and in the last colour, in units of the axis.
struct ValueRange {
  double black = 0, white = 1;
  /// 0 at black, 1 at white; not clamped.
  double position(double axis) const { return white > black ? (axis - black) / (white - black) : axis > black ? 1.0 : 0.0; }
  bool operator==(const ValueRange&) const = default;
};

/// 256 colours. magma, viridis, cividis: dark to light, readable with every colour vision; diverging: the theme's negative, zero,
/// positive. NaN is red and infinity green in each, which none of them contains.
/// @see Smith, van der Walt 2015 (magma, viridis; CC0); Nunez, Anderton, Renslow 2018, doi:10.1371/journal.pone.0199239 (cividis)
class ColourMap {
 public:
  /// @param name  of names()   @throws Error{InvalidArgument} naming them
  ColourMap(const std::string& name, const Theme& theme);
  static const std::vector<std::string>& names();

  const std::string& name() const { return name_; }
  bool diverging() const { return name_ == "diverging"; }
  /// @param position  0..1, clamped; NaN: the colour of NaN
  Rgb at(double position) const;
  /// The colour of a value.
  Rgb of(double value, const ValueScale& scale, const ValueRange& range) const;
  /// The same for many, opaque. @param rgba  4 bytes a value
  void paint(std::span<const float> values, const ValueScale& scale, const ValueRange& range, std::uint8_t* rgba) const;

  static constexpr Rgb kNan{1, 0, 0}, kInfinity{0, 1, 0};

 private:
  std::string name_;
  std::array<std::array<std::uint8_t, 4>, 256> colours_{};
};

}  // namespace ditscope::views
