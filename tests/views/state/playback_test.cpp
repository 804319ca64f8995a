#include "views/state/playback.h"

#include <gtest/gtest.h>

#include <vector>

using namespace ditscope::views;

namespace {

Playback clip(Playback::Loop loop) {
  Playback playback;
  playback.frames = 5;
  playback.fps = 10;
  playback.loop = loop;
  playback.playing = true;
  return playback;
}

std::vector<int> frames_seen(Playback playback, int ticks) {
  std::vector<int> seen;
  for (int i = 0; i < ticks; ++i) {
    playback = advance(playback, 0.1000001);
    seen.push_back(playback.frame());
  }
  return seen;
}

}  // namespace

TEST(Playback, RepeatGoesFromTheLastFrameToTheFirst) {
  EXPECT_EQ(frames_seen(clip(Playback::Loop::Repeat), 6), (std::vector<int>{1, 2, 3, 4, 0, 1}));
}

TEST(Playback, OnceStopsOnTheLastFrameAndStartsAgainFromTheFirst) {
  Playback playback = clip(Playback::Loop::Once);
  for (int i = 0; i < 9; ++i) playback = advance(playback, 0.1);
  EXPECT_EQ(playback.frame(), 4);
  EXPECT_FALSE(playback.playing);
  EXPECT_EQ(toggle(playback).frame(), 0);
}

TEST(Playback, PingPongTurnsAtBothEnds) {
  Playback playback = clip(Playback::Loop::PingPong);
  bool backwards = false;
  int highest = 0, lowest_after = 9;
  for (int i = 0; i < 80; ++i) {
    playback = advance(playback, 0.01);
    highest = std::max(highest, playback.frame());
    if (playback.direction < 0) backwards = true;
    if (backwards) lowest_after = std::min(lowest_after, playback.frame());
  }
  EXPECT_TRUE(backwards);
  EXPECT_GE(highest, 3);
  EXPECT_EQ(lowest_after, 0);
}

TEST(Playback, SpeedScalesTime) {
  Playback playback = clip(Playback::Loop::Repeat);
  playback.speed = 0.25;
  EXPECT_EQ(advance(playback, 0.41).frame(), 1);
}

TEST(Playback, SteppingPausesAndWrapsUnlessPlayedOnce) {
  EXPECT_EQ(step_frames(clip(Playback::Loop::Repeat), -1).frame(), 4);
  EXPECT_FALSE(step_frames(clip(Playback::Loop::Repeat), 1).playing);
  EXPECT_EQ(step_frames(clip(Playback::Loop::Once), -1).frame(), 0);
}

TEST(Playback, AClipOfOneFrameNeverPlays) {
  Playback still;
  still.frames = 1;
  EXPECT_FALSE(toggle(still).playing);
}

TEST(Playback, SpeedsComeRound) {
  Playback playback;
  playback.speed = 4;
  EXPECT_DOUBLE_EQ(next_speed(playback).speed, 0.25);
  EXPECT_DOUBLE_EQ(next_speed(next_speed(playback)).speed, 0.5);
}

TEST(Playback, TheShiftOfBStaysInsideItsClip) {
  EXPECT_EQ(shifted_frame(4, 2, 5), 4);
  EXPECT_EQ(shifted_frame(0, -3, 5), 0);
  EXPECT_EQ(shifted_frame(1, 2, 5), 3);
}
