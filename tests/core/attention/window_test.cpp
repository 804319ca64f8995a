#include <gtest/gtest.h>

#include "core/attention/registry.h"
#include "core/attention/window_plan.h"
#include "tests/core/attention/calls.h"

namespace ditscope {
namespace {

TokenLayout cogvideox_2b(TokenOrder order) {
  TokenLayout layout;
  layout.text_tokens = 226;
  layout.frames = 13;
  layout.rows = 30;
  layout.columns = 45;
  layout.order = order;
  return layout;
}

TEST(Window, OfCogVideoX2BKeeps43SitesInEveryFrameAnd17716048Pairs) {
  for (const TokenOrder order : {TokenOrder::FrameMajor, TokenOrder::PositionMajor}) {
    const TokenLayout layout = cogvideox_2b(order);
    ASSERT_EQ(layout.tokens(), 17776);
    const BlockMask mask = window_mask(layout, 1.0 / 32);
    EXPECT_EQ(mask.kept_pairs(0), 17716048);
    EXPECT_NEAR(1 - mask.kept_ratio(), 0.9439, 5e-5);
    std::int64_t row = 0;  // a visual token in the middle of a frame: 226 text keys and 43 sites in 13 frames
    for (std::int64_t j = 0; j < 17776; ++j) row += mask.keeps(0, 226 + 8775, j);
    EXPECT_EQ(row, 226 + 13 * 43);
  }
}

TEST(Window, TouchesLessThanHalfTheBlocksWhenTheFramesOfASiteLieSideBySide) {
  EXPECT_NEAR(window_mask(cogvideox_2b(TokenOrder::FrameMajor), 1.0 / 32).kept_ratio_blocks(), 0.150, 0.002);
  EXPECT_NEAR(window_mask(cogvideox_2b(TokenOrder::PositionMajor), 1.0 / 32).kept_ratio_blocks(), 0.067, 0.002);
}

TEST(Window, OfAnImageIsARasterBandTruncatedAtItsEnds) {
  TokenLayout layout;
  layout.rows = layout.columns = 64;
  const BlockMask mask = window_mask(layout, 1.0 / 32);
  EXPECT_EQ(mask.kept_pairs(0), 524224);
  EXPECT_TRUE(mask.keeps(0, 0, 64) && !mask.keeps(0, 0, 65) && !mask.keeps(0, 0, 4095));
  EXPECT_TRUE(mask.keeps(0, 2000, 1936) && !mask.keeps(0, 2000, 1935) && mask.keeps(0, 2000, 2064) && !mask.keeps(0, 2000, 2065));
}

TEST(Window, KeepsThePairsOfTheSpecificationInBothOrdersAndWithTextOnEitherSide) {
  for (const bool text_first : {true, false}) {
    for (const double kept : {0.0, 0.1, 0.25, 0.6, 0.99}) {
      TokenLayout layout = test::small_video();
      layout.text_first = text_first;
      const at::Tensor specified = test::specified_window(layout, kept);
      const BlockMask frame = window_mask(layout, kept);
      TokenLayout moved = layout;
      moved.order = TokenOrder::PositionMajor;
      const BlockMask position = window_mask(moved, kept);
      const at::Tensor order = test::position_major_order(layout);
      for (std::int64_t i = 0; i < layout.tokens(); ++i) {
        for (std::int64_t j = 0; j < layout.tokens(); ++j) {
          ASSERT_EQ(frame.keeps(0, i, j), specified[i][j].item<bool>()) << i << "," << j;
          ASSERT_EQ(position.keeps(0, i, j),
                    specified[order[i].item<std::int64_t>()][order[j].item<std::int64_t>()].item<bool>());
        }
        ASSERT_TRUE(frame.keeps(0, i, i)) << "every row keeps its diagonal";
      }
      EXPECT_EQ(frame.kept_pairs(0), specified.sum().item<std::int64_t>());
      EXPECT_EQ(position.kept_pairs(0), frame.kept_pairs(0));
    }
  }
}

TEST(Window, PrefersPositionMajorOnlyForVideos) {
  EXPECT_EQ(make_method({"window", {}}, 10)->preferred_order(test::small_video()), TokenOrder::PositionMajor);
  TokenLayout image;
  image.rows = image.columns = 8;
  EXPECT_EQ(make_method({"window", {}}, 10)->preferred_order(image), TokenOrder::FrameMajor);
}

}  // namespace
}  // namespace ditscope
