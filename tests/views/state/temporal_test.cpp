#include "views/state/temporal.h"

#include <gtest/gtest.h>

using namespace ditscope;
using namespace ditscope::views;

TEST(Temporal, ChangeIsTheMeanStepFromTheFormerFrame) {
  Frames frames;
  frames.count = 3;
  frames.height = frames.width = 4;
  frames.rgb.assign(frames.frame_size() * 3, 0.25f);
  for (std::size_t i = 0; i < frames.frame_size(); ++i) frames.frame(2)[i] = i % 2 ? 0.75f : 0.25f;
  const auto change = temporal_change(frames);
  ASSERT_EQ(change.size(), 3u);
  EXPECT_DOUBLE_EQ(change[0], 0);
  EXPECT_DOUBLE_EQ(change[1], 0);
  EXPECT_NEAR(change[2], 0.25, 1e-9);
}

TEST(Temporal, TicksAreRoundAndInsideTheRange) {
  EXPECT_EQ(ticks(10, 40, 5), (std::vector<double>{10, 20, 30, 40}));
  const auto small = ticks(0, 0.043, 5);
  ASSERT_EQ(small.size(), 5u);
  EXPECT_LE(small.back(), 0.043 + 1e-12);
  EXPECT_NEAR(small[1] - small[0], 0.01, 1e-12);
  EXPECT_TRUE(ticks(1, 1, 5).empty());
}
