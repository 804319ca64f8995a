#include "views/inspect/colour_map.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "kernels/error.h"
#include "tests/views/inspect/inspect_support.h"

namespace ditscope::views {
namespace {

constexpr float kInf = std::numeric_limits<float>::infinity(), kNan = std::numeric_limits<float>::quiet_NaN();

int distance(Rgb a, std::uint32_t b) {
  const auto gap = [](float x, std::uint32_t y) { return std::abs(static_cast<int>(std::lround(x * 255)) - static_cast<int>(y & 255)); };
  return std::max({gap(a.r, b >> 16), gap(a.g, b >> 8), gap(a.b, b)});
}

TEST(ColourMap, MeetsThePublishedColoursBetweenItsControlPoints) {
  struct Case {
    const char* name;
    int index;
    std::uint32_t colour;
  };
  for (const Case& c : {Case{"magma", 0, 0x000004}, {"magma", 77, 0x651A80}, {"magma", 128, 0xB73779}, {"magma", 254, 0xFCFBBD},
                        {"viridis", 1, 0x440256}, {"viridis", 77, 0x34608D}, {"viridis", 128, 0x21918C}, {"viridis", 255, 0xFDE725},
                        {"cividis", 77, 0x50576C}, {"cividis", 128, 0x7D7C78}, {"cividis", 254, 0xFEE636}}) {
    EXPECT_LE(distance(ColourMap(c.name, theme_for_tests()).at(c.index / 255.0), c.colour), 2) << c.name << " " << c.index;
  }
}

TEST(ColourMap, SequentialMapsGrowLighterAllTheWay) {
  for (const char* name : {"magma", "viridis", "cividis"}) {
    const ColourMap map(name, theme_for_tests());
    double before = contrast_ratio(map.at(0), Rgb{});
    for (int i = 8; i <= 256; i += 8) {
      const double now = contrast_ratio(map.at(i / 256.0), Rgb{});
      EXPECT_GT(now, before) << name << " " << i;
      before = now;
    }
  }
}

TEST(ColourMap, DivergingHasTheThemesThreeColours) {
  for (const bool dark : {true, false}) {
    const Theme& theme = theme_for_tests(dark);
    const ColourMap map("diverging", theme);
    EXPECT_EQ(to_hex(map.at(0)), to_hex(theme.colour("negative")));
    EXPECT_EQ(to_hex(map.at(1)), to_hex(theme.colour("positive")));
    EXPECT_LE(distance(map.at(0.5), dark ? 0x2C2E31 : 0xEEEEEE), 2);
  }
}

TEST(ColourMap, NanIsRedAndInfinityGreenAndWhatLiesOutsideTakesTheEnds) {
  const ColourMap map("magma", theme_for_tests());
  const ValueScale scale{ValueScale::Kind::Log10, 1e-6};
  const ValueRange range{-6, 0};
  const float values[] = {kNan, kInf, -kInf, 0, -5, 1e-6F, 1, 1e9F, 1e-3F};
  std::uint8_t rgba[4 * std::size(values)];
  map.paint(values, scale, range, rgba);
  for (std::size_t i = 0; i < std::size(values); ++i) {
    const Rgb one = map.of(values[i], scale, range);
    EXPECT_EQ(distance(one, rgba[4 * i] << 16 | rgba[4 * i + 1] << 8 | rgba[4 * i + 2]), 0) << values[i];
    EXPECT_EQ(rgba[4 * i + 3], 255);
  }
  EXPECT_EQ(distance(map.of(kNan, scale, range), 0xFF0000), 0);
  EXPECT_EQ(distance(map.of(kInf, scale, range), 0x00FF00), 0);
  EXPECT_EQ(distance(map.of(-kInf, scale, range), 0x00FF00), 0);
  EXPECT_EQ(to_hex(map.of(0, scale, range)), to_hex(map.at(0)));
  EXPECT_EQ(to_hex(map.of(1e9, scale, range)), to_hex(map.at(1)));
  EXPECT_EQ(to_hex(map.of(1e-3, scale, range)), to_hex(map.at(0.5)));
}

TEST(ColourMap, RefusesANameItDoesNotHave) { EXPECT_THROW(ColourMap("jet", theme_for_tests()), Error); }

TEST(ValueScale, ThereAndBackAndItsTicks) {
  const ValueScale log{ValueScale::Kind::Log10, 1e-6}, two{ValueScale::Kind::Log2, 1e-6}, linear;
  for (const double value : {1e-6, 3e-4, 0.5, 7.0}) {
    EXPECT_NEAR(log.to_value(log.to_axis(value)), value, value * 1e-12);
    EXPECT_NEAR(two.to_value(two.to_axis(value)), value, value * 1e-12);
  }
  EXPECT_EQ(log.to_axis(0), -6);
  EXPECT_TRUE(std::isnan(log.to_axis(kNan)));
  EXPECT_TRUE(std::isinf(log.to_axis(kInf)));
  EXPECT_EQ(log.text(-3), "1e-3");
  EXPECT_EQ(two.text(1), "2");
  EXPECT_EQ(linear.text(0.25), "0.25");
}

}  // namespace
}  // namespace ditscope::views
