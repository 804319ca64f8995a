#include "core/media/side_by_side.h"

#include <gtest/gtest.h>

#include "core/media/text_painter.h"
#include "kernels/error.h"
#include "tests/core/media/pictures.h"

namespace ditscope {
namespace {

using test::flat;
using test::waves;

/// Where a colour first shows in a frame, as (left, top); (-1, -1) for nowhere.
std::pair<int, int> first_pixel(const Frames& frames, int index, float r, float g, float b) {
  for (int y = 0; y < frames.height; ++y) {
    for (int x = 0; x < frames.width; ++x) {
      const float* pixel = frames.frame(index) + (static_cast<std::size_t>(y) * frames.width + x) * 3;
      if (std::abs(pixel[0] - r) + std::abs(pixel[1] - g) + std::abs(pixel[2] - b) < 1e-3f) return {x, y};
    }
  }
  return {-1, -1};
}

int lit_pixels(const Frames& frames) {
  int lit = 0;
  for (std::size_t i = 0; i < frames.rgb.size(); i += 3) lit += frames.rgb[i] > 0.5f;
  return lit;
}

TEST(SideBySide, PutsPanesInARowUnderTheirHeaders) {
  const Frames red = flat(3, 96, 96, 1, 0, 0), blue = flat(3, 96, 96, 0, 0, 1);
  const Frames both = side_by_side({{&red, "Full attention", "4.1 s"}, {&blue, "Re-ttention", "kept 12.5 %"}});
  EXPECT_EQ(both.count, 3);
  EXPECT_EQ(both.width % 2, 0);
  EXPECT_EQ(both.height % 2, 0);
  const auto a = first_pixel(both, 2, 1, 0, 0), b = first_pixel(both, 2, 0, 0, 1);
  ASSERT_GE(a.first, 0);
  ASSERT_GE(b.first, 0);
  EXPECT_EQ(a.second, b.second);
  EXPECT_GT(a.second, 30) << "no header above the video";
  EXPECT_GE(b.first, a.first + 384) << "96 px are enlarged four times to reach 320";
}

TEST(SideBySide, MoreThanThreePanesMakeAGrid) {
  const Frames video = flat(1, 320, 320, 0, 1, 0);
  const Frames four = side_by_side({{&video, "1", ""}, {&video, "2", ""}, {&video, "3", ""}, {&video, "4", ""}});
  EXPECT_LT(four.width, 3 * 320);
  EXPECT_GT(four.height, 2 * 320);
}

TEST(SideBySide, AShorterVideoHoldsItsLastFrame) {
  const Frames longer = flat(4, 320, 320, 1, 0, 0);
  Frames shorter = flat(2, 320, 320, 0, 1, 0);
  for (std::size_t i = 0; i < shorter.frame_size(); ++i) shorter.frame(1)[i] = i % 3 == 2 ? 1.0f : 0.0f;
  const Frames both = side_by_side({{&longer, "A", ""}, {&shorter, "B", ""}});
  EXPECT_EQ(both.count, 4);
  EXPECT_GE(first_pixel(both, 0, 0, 1, 0).first, 0);
  EXPECT_GE(first_pixel(both, 3, 0, 0, 1).first, 0);
}

TEST(SideBySide, RefusesNothingEmptyVideosAndDifferentSizes) {
  const Frames a = flat(1, 32, 32, 0, 0, 0), b = flat(1, 32, 48, 0, 0, 0), empty;
  EXPECT_THROW(side_by_side({}), Error);
  EXPECT_THROW(side_by_side({{&a, "", ""}, {&empty, "", ""}}), Error);
  EXPECT_THROW(side_by_side({{&a, "", ""}, {&b, "", ""}}), Error);
}

TEST(SideBySide, HostileTitlesAreCutNotFatal) {
  const Frames video = flat(1, 64, 64, 0, 0, 0);
  const std::string titles[] = {std::string(100000, 'W'), "\xFF\xFE\x80 \xF0\x9F", "日本語 Ünïcode 🎬", ""};
  for (const std::string& title : titles) EXPECT_NO_THROW(side_by_side({{&video, title, title}}));
}

TEST(Enlarge, KeepsFlatColoursAndTheMeanOfAPicture) {
  EXPECT_LT(test::largest_difference(enlarge(flat(1, 5, 7, 0.1f, 0.5f, 0.9f), 3), flat(1, 15, 21, 0.1f, 0.5f, 0.9f)), 1e-6f);
  const Frames small = waves(1, 40, 40), large = enlarge(small, 4);
  double small_mean = 0, large_mean = 0;
  for (const float value : small.rgb) small_mean += value / small.rgb.size();
  for (const float value : large.rgb) large_mean += value / large.rgb.size();
  EXPECT_NEAR(small_mean, large_mean, 2e-3);
}

TEST(Enlarge, AnOddFactorPassesThroughTheSamples) {
  const Frames small = waves(1, 12, 10), large = enlarge(small, 3);
  for (int y = 0; y < small.height; ++y) {
    for (int x = 0; x < small.width; ++x) {
      EXPECT_NEAR(large.rgb[((3 * y + 1) * large.width + 3 * x + 1) * 3], small.rgb[(y * small.width + x) * 3], 1e-6f);
    }
  }
}

TEST(TextPainter, DrawsInsideItsBoxAndMoreForLargerText) {
  TextPainter painter;
  Frames small = flat(1, 60, 400, 0, 0, 0), large = small;
  painter.draw(small, 0, 10, 40, "PSNR 31.2 dB", 14, {1, 1, 1});
  painter.draw(large, 0, 10, 40, "PSNR 31.2 dB", 28, {1, 1, 1});
  EXPECT_GT(lit_pixels(small), 50);
  EXPECT_GT(lit_pixels(large), 2 * lit_pixels(small));
  const int width = painter.width_px("PSNR 31.2 dB", 14);
  for (int y = 0; y < 60; ++y) {
    for (int x = 10 + width + 2; x < 400; ++x) ASSERT_EQ(small.rgb[(y * 400 + x) * 3], 0.0f);
  }
}

TEST(TextPainter, TextBeyondTheEdgesIsCut) {
  TextPainter painter;
  Frames frames = flat(1, 20, 20, 0, 0, 0);
  painter.draw(frames, 0, -30, 4, "overlong text", 16, {1, 1, 1});
  painter.draw(frames, 0, 15, 25, "overlong text", 16, {1, 1, 1});
  EXPECT_GT(lit_pixels(frames), 0);
}

TEST(TextPainter, FitEndsInAnEllipsisThatFits) {
  TextPainter painter;
  const std::string cut = painter.fit("a wonderfully long title", 15, 80);
  EXPECT_LE(painter.width_px(cut, 15), 80);
  EXPECT_EQ(cut.substr(cut.size() - 3), "\u2026");
  EXPECT_EQ(painter.fit("short", 15, 80), "short");
  EXPECT_EQ(painter.fit("anything", 15, 0), "");
}

}  // namespace
}  // namespace ditscope
