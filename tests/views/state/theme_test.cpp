#include "views/state/theme.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <fstream>
#include <nlohmann/json.hpp>
#include <sstream>

#include "kernels/error.h"

using namespace ditscope;
using namespace ditscope::views;

namespace {

std::string tokens() {
  std::ifstream file(DITSCOPE_SOURCE_DIR "/resources/theme/tokens.json");
  std::stringstream text;
  text << file.rdbuf();
  return text.str();
}

}  // namespace

TEST(Theme, BlackOnWhiteIsTwentyOneToOne) {
  EXPECT_NEAR(contrast_ratio(parse_rgb("#000000"), parse_rgb("#FFFFFF")), 21, 1e-6);
  EXPECT_NEAR(contrast_ratio(parse_rgb("#777777"), parse_rgb("#FFFFFF")), 4.48, 0.01);
}

TEST(Theme, EveryTokenReachesItsContrastOnEveryGround) {
  const auto promised = nlohmann::json::parse(tokens()).at("contrast");
  ASSERT_GE(promised.size(), 13u);
  for (const bool dark : {true, false}) {
    const Theme theme = parse_theme(tokens(), dark);
    for (const auto& [token, ratios] : promised.items()) {
      double worst = 21;
      for (const char* ground : {"window", "panel", "raised", "view"}) {
        worst = std::min(worst, contrast_ratio(theme.colour(token), theme.colour(ground)));
      }
      EXPECT_NEAR(worst, ratios.at(dark ? 0 : 1).get<double>(), 0.06) << token << (dark ? " dark" : " light");
      EXPECT_GE(worst, token == "edge" ? 3.0 : 4.45) << token;
    }
  }
}

TEST(Theme, TextOnAccentAndOnRunColoursIsReadable) {
  for (const bool dark : {true, false}) {
    const Theme theme = parse_theme(tokens(), dark);
    EXPECT_GE(contrast_ratio(theme.colour("on_accent"), theme.colour("accent")), 4.5);
    EXPECT_GE(contrast_ratio(theme.colour("text"), theme.colour("accent_soft")), 4.5);
    for (int run = 0; run < 4; ++run) EXPECT_GE(contrast_ratio(theme.colour("on_run"), theme.run(run)), 4.5) << run << dark;
  }
}

TEST(Theme, AnUnknownTokenOrABadColourIsNamed) {
  const Theme theme = parse_theme(tokens(), true);
  EXPECT_THROW(theme.colour("nope"), Error);
  EXPECT_THROW(parse_rgb("#12345"), Error);
  EXPECT_THROW(parse_rgb("#12345G"), Error);
  EXPECT_THROW(parse_theme("{}", true), Error);
}

TEST(Theme, HexComesBackAsItWas) {
  EXPECT_EQ(to_hex(parse_rgb("#6CA8FF")), "#6CA8FF");
}
