#include "views/state/compare.h"

#include <gtest/gtest.h>

using namespace ditscope;
using namespace ditscope::views;

namespace {

Frames flat(float value, int count = 2) {
  Frames frames;
  frames.count = count;
  frames.height = 8;
  frames.width = 10;
  frames.rgb.assign(frames.frame_size() * static_cast<std::size_t>(count), value);
  return frames;
}

}  // namespace

TEST(Compare, TripleHasThreeEqualPanesWithGapsBetween) {
  const auto panes = layout_panes({}, 1012, 300, 6);
  ASSERT_EQ(panes.size(), 3u);
  EXPECT_DOUBLE_EQ(panes[0].rect.width, 1000.0 / 3);
  EXPECT_DOUBLE_EQ(panes[1].rect.x, panes[0].rect.right() + 6);
  EXPECT_DOUBLE_EQ(panes[2].rect.right(), 1012);
  EXPECT_EQ(panes[2].content, Pane::Content::Wipe);
}

TEST(Compare, TheThirdPaneShowsWhatWasChosen) {
  CompareState state;
  state.third = ThirdPane::Difference;
  EXPECT_EQ(layout_panes(state, 900, 300, 6)[2].content, Pane::Content::Difference);
  state.third = ThirdPane::WipeHorizontal;
  EXPECT_TRUE(layout_panes(state, 900, 300, 6)[2].horizontal);
}

TEST(Compare, WipeFollowsTheAxisOfItsLineAndStaysInside) {
  const Pane upright{{100, 0, 200, 100}, Pane::Content::Wipe, false}, lying{{100, 0, 200, 100}, Pane::Content::Wipe, true};
  EXPECT_DOUBLE_EQ(wipe_at(upright, {150, 99}), 0.25);
  EXPECT_DOUBLE_EQ(wipe_at(lying, {150, 25}), 0.25);
  EXPECT_DOUBLE_EQ(wipe_at(upright, {5000, 0}), 1);
}

TEST(Compare, FlickerShowsEachRunHalfTheTime) {
  CompareState state;
  state.flicker = true;
  state.flicker_hz = 2;
  EXPECT_FALSE(flicker_shows_second(state, 0.1));
  EXPECT_TRUE(flicker_shows_second(state, 0.3));
  EXPECT_FALSE(flicker_shows_second(state, 0.55));
  state.flicker = false;
  EXPECT_FALSE(flicker_shows_second(state, 0.3));
}

TEST(Compare, ThePercentileIsTheOneOfTheDifferences) {
  Frames a = flat(0.2f), b = flat(0.2f);
  for (std::size_t i = 0; i < b.rgb.size() / 2; ++i) b.rgb[i] += 0.5f;
  EXPECT_NEAR(difference_p99(a, b, 0), 0.5, 1e-6);
}

TEST(Compare, IdenticalClipsAreNotAmplifiedIntoNoise) {
  EXPECT_DOUBLE_EQ(difference_p99(flat(0.3f), flat(0.3f), 0), 4.0 / 255);
  EXPECT_DOUBLE_EQ(difference_p99(flat(0.3f), Frames{}, 0), 0);
}

TEST(Compare, TheShiftDecidesWhichFramesAreCompared) {
  Frames a = flat(0, 3), b = flat(0, 3);
  for (std::size_t i = 0; i < b.frame_size(); ++i) b.frame(1)[i] = a.frame(0)[i] = 0.8f;
  EXPECT_NEAR(difference_p99(a, b, 1), 4.0 / 255, 1e-9);
  EXPECT_NEAR(difference_p99(a, b, 0), 0.8, 1e-6);
}

TEST(Compare, DifferenceModesMeetAtZeroAndAtTheRange) {
  for (const auto mode : {DifferenceMode::Signed, DifferenceMode::Absolute, DifferenceMode::Root, DifferenceMode::Logarithmic}) {
    EXPECT_NEAR(difference_value(mode, 0.5, 0.5, 0.25), 0, 1e-12) << difference_mode_name(mode);
    EXPECT_NEAR(difference_value(mode, 0.25, 0.5, 0.25), 1, 1e-12) << difference_mode_name(mode);
  }
  EXPECT_NEAR(difference_value(DifferenceMode::Signed, 0.5, 0.25, 0.25), -1, 1e-12);
  EXPECT_NEAR(difference_value(DifferenceMode::Root, 0, 0.0625, 0.25), 0.5, 1e-12);
  EXPECT_NEAR(difference_value(DifferenceMode::Logarithmic, 0, 0.025, 0.25), 2.0 / 3, 1e-12);
}

TEST(Compare, TheLegendNamesRangeAndItsOrigin) {
  CompareState state;
  EXPECT_EQ(difference_legend(state, 0.312, 'A', 'B'), "|A - B|, 0 to 0.312, p99 of this pair");
  state.difference = DifferenceMode::Signed;
  state.range = 0.1;
  EXPECT_EQ(difference_legend(state, 0.312, 'A', 'B'), "B - A, -0.100 to +0.100, fixed");
}
