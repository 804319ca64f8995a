#include "views/state/results.h"

#include <gtest/gtest.h>

#include <cmath>

#include "views/state/words.h"

using namespace ditscope;
using namespace ditscope::views;

namespace {

RunResult full_run() {
  RunResult run;
  run.request.method.key = "full";
  run.seconds = 41.8;
  run.attention_seconds = 22.6;
  for (int i = 0; i < 30; ++i) {
    StepRecord step;
    step.attention_seconds = 22.6 / 30;
    run.steps.push_back(step);
  }
  return run;
}

RunResult sparse_run() {
  RunResult run = full_run();
  run.request.method.key = "re-ttention";
  run.seconds = 32.3;
  run.attention_seconds = 13.1;
  for (int i = 14; i < 30; ++i) {
    run.steps[static_cast<std::size_t>(i)].kind = StepRecord::Kind::Sparse;
    run.steps[static_cast<std::size_t>(i)].attention_seconds = 0.148;
  }
  run.kept_ratio = {0.031, 0.061, 0.507};
  return run;
}

}  // namespace

TEST(Results, SpeedIsTotalAttentionAndPerSparseStepAgainstTheReference) {
  const Speed speed = speed_of(figures_of(full_run(), {}), figures_of(sparse_run(), {}));
  EXPECT_NEAR(speed.total, 1.29, 0.005);
  EXPECT_NEAR(speed.attention, 1.73, 0.005);
  ASSERT_TRUE(speed.per_sparse_step);
  EXPECT_NEAR(*speed.per_sparse_step, 5.09, 0.005);
  EXPECT_NEAR(speed.ceiling, 1.97, 0.005);
}

TEST(Results, WorkSkippedStandsBesideTimeSaved) {
  const auto bars = honest_bars(figures_of(full_run(), {}), figures_of(sparse_run(), {}));
  ASSERT_EQ(bars.size(), 3u);
  EXPECT_NEAR(*bars[0].skipped, 0.939, 1e-9);
  EXPECT_NEAR(bars[0].saved, 0.803, 0.001);
  EXPECT_NEAR(bars[1].saved, 0.420, 0.001);
  EXPECT_FALSE(bars[2].skipped);
  EXPECT_NEAR(bars[2].saved, 0.227, 0.001);
}

TEST(Results, SlowerIsSaid) {
  EXPECT_EQ(speed_text(0.97), "Slower than full: 0.97 \u00d7");
  EXPECT_EQ(speed_text(1.29), "1.29 \u00d7");
}

TEST(Results, BandsAreOfTheEdgesThatWereAgreed) {
  EXPECT_STREQ(band_name(band_of(30)), "near-identical");
  EXPECT_STREQ(band_name(band_of(29.99)), "close");
  EXPECT_STREQ(band_name(band_of(20)), "visible");
  EXPECT_STREQ(band_name(band_of(19.9)), "diverged");
}

TEST(Results, AnEstimateComesOnlyFromTheSameModelSizeAndMethod) {
  Request known;
  known.model = "/m";
  known.method.key = "full";
  known.steps = 30;
  known.frames = 33;
  known.width = known.height = 256;
  known.guidance_scale = 6;
  Request wanted = known;
  wanted.steps = 15;
  EXPECT_NEAR(*estimate_seconds(wanted, known, 40), 20, 1e-9);
  wanted.guidance_scale = 1;
  EXPECT_NEAR(*estimate_seconds(wanted, known, 40), 10, 1e-9);
  wanted.frames = 17;
  EXPECT_FALSE(estimate_seconds(wanted, known, 40));
  wanted = known;
  wanted.method.key = "window";
  EXPECT_FALSE(estimate_seconds(wanted, known, 40));
}

TEST(Words, NumbersReadAsTheWindowWritesThem) {
  EXPECT_EQ(clock_text(74), "1:14");
  EXPECT_EQ(clock_text(3725), "1:02:05");
  EXPECT_EQ(seconds_text(0.1482), "148 ms");
  EXPECT_EQ(seconds_text(41.84), "41.8 s");
  EXPECT_EQ(seconds_text(0.9997), "1.0 s");
  EXPECT_EQ(percent_text(0.03125), "3.1 %");
  EXPECT_EQ(percent_text(0.9999), "100 %");
  EXPECT_EQ(kept_text(0.031), "kept 3.1 %");
  EXPECT_EQ(skipped_text(0.031), "skipped 96.9 %");
  EXPECT_EQ(gigabytes_text(1'900'000'000), "1.9");
  EXPECT_EQ(decibel_text(28.42), "28.4 dB");
  EXPECT_EQ(decibel_text(100), "identical");
}
