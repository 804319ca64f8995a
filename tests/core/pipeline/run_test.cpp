// Runs of tiny models: stopping, resuming, isolation of one run from another, running out of memory.
#include <ATen/ATen.h>
#include <gtest/gtest.h>
#include <sys/resource.h>

#include <chrono>
#include <cmath>
#include <filesystem>
#include <fstream>
#include <functional>
#include <thread>

#include "core/checkpoint/safetensors.h"
#include "core/metrics/psnr.h"
#include "core/pipeline/generator.h"
#include "kernels/error.h"
#include "tests/core/pipeline/tiny_request.h"
#include "tests/support/temporary_folder.h"

namespace ditscope {
namespace {

using Clock = std::chrono::steady_clock;
using Stop = RunControl::Stop;

using test::kGolden;
using test::tiny_request;

/// Hands events to a function; without one, drops them.
class Listener final : public EventSink {
 public:
  std::function<void(const Event&)> on;
  void on_event(const Event& event) override {
    if (on) on(event);
  }
};

class Running : public ::testing::Test {
 protected:
  RunResult run(const Request& request) {
    RunControl control;
    return generator_.run(request, listener_, control);
  }
  /// Stops after `steps` finished steps.
  RunResult run_stopped(const Request& request, int steps, Stop how = Stop::Keep) {
    RunControl control;
    Listener listener;
    listener.on = [&](const Event& event) {
      const auto* step = std::get_if<StepFinished>(&event);
      if (step && step->record.index + 1 == steps) control.request_stop(how);
    };
    return generator_.run(request, listener, control);
  }

  Generator generator_;
  Listener listener_;
};

TEST_F(Running, GivesFramesStepsAndFigures) {
  const RunResult result = run(tiny_request("re-ttention:kept_ratio=0.25"));
  EXPECT_EQ(result.frames.count, 9);
  EXPECT_EQ(result.frames.height, 48);
  EXPECT_EQ(result.frames.width, 64);
  EXPECT_EQ(result.frames.rgb.size(), 9u * 48 * 64 * 3);
  for (const float value : result.frames.rgb) ASSERT_TRUE(value >= 0 && value <= 1);
  ASSERT_EQ(result.steps.size(), 10u);
  double denoise = 0;
  for (const StepRecord& step : result.steps) {
    EXPECT_GT(step.seconds, 0);
    EXPECT_GT(step.attention_seconds, 0);
    EXPECT_LE(step.attention_seconds, step.seconds);
    denoise += step.seconds;
  }
  EXPECT_EQ(result.steps.front().timestep, 999);
  EXPECT_NEAR(result.stages.at("denoise"), denoise, 1e-9);
  EXPECT_NEAR(result.seconds, result.stages.at("text") + result.stages.at("denoise") + result.stages.at("decode"), 1e-9);
  EXPECT_EQ(result.kept_ratio.requested, 0.25);
  EXPECT_LT(result.kept_ratio.achieved, 1);
  EXPECT_GT(result.peak_bytes, 10 << 20);
  EXPECT_GT(result.method_bytes, 0);
  EXPECT_EQ(result.noise_hash.size(), 16u);
  EXPECT_FALSE(result.stopped);
}

TEST_F(Running, TellsOfEveryStepInOrderWithAPreviewOfTheCleanVideo) {
  std::vector<int> indices;
  double last_remaining = 0;
  listener_.on = [&](const Event& event) {
    if (const auto* step = std::get_if<StepFinished>(&event)) {
      indices.push_back(step->record.index);
      EXPECT_EQ(step->preview.count, 3);
      EXPECT_EQ(step->preview.height, 6);
      EXPECT_EQ(step->preview.width, 8);
      EXPECT_EQ(step->steps, 10);
      last_remaining = step->remaining_seconds;
    }
  };
  run(tiny_request());
  EXPECT_EQ(indices, (std::vector<int>{0, 1, 2, 3, 4, 5, 6, 7, 8, 9}));
  EXPECT_EQ(last_remaining, 0) << "nothing is known of decoding before the first decode";
}

TEST_F(Running, DecodesInTilesWhereMemoryRunsOutAndSaysSo) {
  Request request = tiny_request();
  request.height = request.width = 160;
  request.steps = 2;
  const RunResult whole = run(request);
  EXPECT_TRUE(whole.notices.empty());
  request.vae_tiling = true;
  const RunResult tiled = run(request);
  EXPECT_TRUE(tiled.notices.empty());
  EXPECT_NE(tiled.frames.rgb, whole.frames.rgb);

  request.vae_tiling = false;
  bool failed = false;
  listener_.on = [&](const Event& event) {
    const auto* progress = std::get_if<StageProgress>(&event);
    if (failed || !progress || progress->stage != StageProgress::Stage::Decoding || progress->done < 1) return;
    failed = true;
    throw std::bad_alloc();
  };
  const RunResult rescued = run(request);
  EXPECT_TRUE(failed);
  ASSERT_EQ(rescued.notices.size(), 1u);
  EXPECT_NE(rescued.notices[0].find("tiles"), std::string::npos);
  EXPECT_EQ(rescued.frames.rgb, tiled.frames.rgb);
}

TEST_F(Running, OneRunLeavesNoTraceInTheNext) {
  const Request a = tiny_request("re-ttention:kept_ratio=0.25"), b = tiny_request("ditfastattn:kept_ratio=0.25");
  const RunResult first = run(a);
  const RunResult between = run(b);
  const RunResult again = run(a);
  EXPECT_NE(first.frames.rgb, between.frames.rgb);
  EXPECT_EQ(first.frames.rgb, again.frames.rgb);
  EXPECT_EQ(first.noise_hash, between.noise_hash);
}

TEST_F(Running, AnotherModelBetweenLeavesNoTraceEither) {
  const RunResult first = run(tiny_request());
  run(tiny_request("full", "cogx_5b_ddim"));
  EXPECT_EQ(first.frames.rgb, run(tiny_request()).frames.rgb);
}

TEST_F(Running, AnotherSeedGivesOtherNoise) {
  Request request = tiny_request();
  const RunResult first = run(request);
  request.seed = 43;
  const RunResult second = run(request);
  EXPECT_NE(first.noise_hash, second.noise_hash);
  EXPECT_NE(first.frames.rgb, second.frames.rgb);
}

TEST_F(Running, AStoppedRunKeepsItsStepsAndHasNoFrames) {
  const RunResult stopped = run_stopped(tiny_request(), 4);
  EXPECT_TRUE(stopped.stopped);
  EXPECT_TRUE(stopped.partial);
  EXPECT_TRUE(stopped.frames.empty());
  EXPECT_EQ(stopped.steps.size(), 4u);
  test::TemporaryFolder folder;
  Generator::save_latents(stopped, folder / "latents.safetensors");
  EXPECT_TRUE(std::filesystem::exists(folder / "latents.safetensors"));
}

TEST_F(Running, ResumingIsBitIdenticalForEveryMethodAndStoppingPlace) {
  for (const char* method : {"full", "window:kept_ratio=0.25", "ditfastattn:kept_ratio=0.25", "re-ttention:kept_ratio=0.25"}) {
    const Request request = tiny_request(method);
    const RunResult whole = run(request);
    for (const int steps : {1, 3, 5, 9, 10}) {
      const RunResult stopped = run_stopped(request, steps);
      ASSERT_TRUE(stopped.stopped);
      RunControl control;
      const RunResult resumed = generator_.resume(stopped, listener_, control);
      EXPECT_FALSE(resumed.stopped);
      EXPECT_EQ(resumed.frames.rgb, whole.frames.rgb) << method << " stopped after step " << steps;
      EXPECT_EQ(resumed.steps.size(), whole.steps.size());
      EXPECT_DOUBLE_EQ(resumed.kept_ratio.schedule_average, whole.kept_ratio.schedule_average);
    }
  }
}

TEST_F(Running, AStopInTheMiddleOfAStepLeavesNoTraceInTheResumedRun) {
  const Request request = tiny_request("re-ttention:kept_ratio=0.25");
  const auto begin = Clock::now();
  const RunResult whole = run(request);
  const std::chrono::duration<double> run_time = Clock::now() - begin;
  for (int i = 1; i <= 10; ++i) {
    RunControl control;
    std::jthread stopper([&] {
      std::this_thread::sleep_for(run_time * i / 11);
      control.request_stop();
    });
    RunResult result = generator_.run(request, listener_, control);
    stopper.join();
    if (result.stopped) {
      RunControl go_on;
      result = generator_.resume(result, listener_, go_on);
    }
    ASSERT_EQ(result.frames.rgb, whole.frames.rgb);
  }
}

TEST_F(Running, AStoppedRunCanBeResumedTwice) {
  const Request request = tiny_request("re-ttention:kept_ratio=0.25");
  const RunResult stopped = run_stopped(request, 6);
  RunControl control;
  const RunResult first = generator_.resume(stopped, listener_, control);
  EXPECT_EQ(first.frames.rgb, generator_.resume(stopped, listener_, control).frames.rgb);
}

TEST_F(Running, AResumedRunCanBeStoppedAndResumedAgain) {
  const Request request = tiny_request("re-ttention:kept_ratio=0.25");
  const RunResult whole = run(request);
  const RunResult stopped = run_stopped(request, 2);
  RunControl control;
  Listener listener;
  listener.on = [&](const Event& event) {
    if (const auto* step = std::get_if<StepFinished>(&event); step && step->record.index == 6) control.request_stop();
  };
  const RunResult again = generator_.resume(stopped, listener, control);
  EXPECT_TRUE(again.stopped);
  EXPECT_EQ(again.steps.size(), 7u);
  RunControl go_on;
  EXPECT_EQ(generator_.resume(again, listener_, go_on).frames.rgb, whole.frames.rgb);
}

TEST_F(Running, StopAndDecodeGivesThePredictedCleanVideo) {
  const RunResult stopped = run_stopped(tiny_request(), 6, Stop::Decode);
  EXPECT_TRUE(stopped.stopped);
  EXPECT_EQ(stopped.frames.count, 9);
  const RunResult kept = run_stopped(tiny_request(), 6, Stop::Keep);
  RunControl control;
  EXPECT_EQ(generator_.decode(kept, listener_, control).frames.rgb, stopped.frames.rgb);
  const RunResult resumed = generator_.resume(stopped, listener_, control);
  EXPECT_EQ(resumed.frames.rgb, run(tiny_request()).frames.rgb);
  EXPECT_NE(resumed.frames.rgb, stopped.frames.rgb);
}

TEST_F(Running, NothingIsDecodedBeforeTheFirstStep) {
  RunControl control;
  control.request_stop(Stop::Decode);
  const RunResult stopped = generator_.run(tiny_request(), listener_, control);
  EXPECT_TRUE(stopped.stopped);
  EXPECT_TRUE(stopped.frames.empty());
  RunControl go_on;
  try {
    generator_.decode(stopped, listener_, go_on);
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::InvalidArgument);
  }
  EXPECT_EQ(generator_.resume(stopped, listener_, go_on).frames.rgb, run(tiny_request()).frames.rgb);
}

TEST_F(Running, AStopIsAnsweredWithinASecond) {
  Request request = tiny_request();
  request.steps = 400;
  for (const int delay_ms : {5, 60, 250}) {
    RunControl control;
    Clock::time_point asked;
    std::jthread stopper([&] {
      std::this_thread::sleep_for(std::chrono::milliseconds(delay_ms));
      asked = Clock::now();
      control.request_stop();
    });
    const RunResult result = generator_.run(request, listener_, control);
    const auto answered = Clock::now();
    stopper.join();
    EXPECT_TRUE(result.stopped);
    EXPECT_LT(answered - asked, std::chrono::seconds(1));
  }
}

TEST_F(Running, APausedRunWaitsAndItsPauseIsNotCounted) {
  const Request request = tiny_request();
  const RunResult plain = run(request);
  RunControl control;
  Listener listener;
  std::jthread resumer;
  constexpr auto kPause = std::chrono::milliseconds(400);
  listener.on = [&](const Event& event) {
    if (const auto* step = std::get_if<StepFinished>(&event); step && step->record.index == 2) {
      control.pause();
      resumer = std::jthread([&] {
        std::this_thread::sleep_for(kPause);
        control.resume();
      });
    }
  };
  const auto begin = Clock::now();
  const RunResult paused = generator_.run(request, listener, control);
  const std::chrono::duration<double> wall = Clock::now() - begin;
  EXPECT_GE(wall, kPause);
  EXPECT_LT(paused.seconds, wall.count() - 0.3);
  EXPECT_EQ(paused.frames.rgb, plain.frames.rgb);
}

TEST_F(Running, WithoutGuidanceOnlyTheConditionalBranchRuns) {
  Request request = tiny_request();
  request.guidance_scale = 1;
  request.negative_prompt = "anything";
  const RunResult one = run(request);
  request.negative_prompt = "";
  EXPECT_EQ(one.frames.rgb, run(request).frames.rgb);
}

TEST_F(Running, ALongPromptIsCutAndSaidSo) {
  Request request = tiny_request();
  for (int i = 0; i < 200; ++i) request.prompt += " red cat";
  const RunResult result = run(request);
  ASSERT_EQ(result.notices.size(), 1u);
  EXPECT_NE(result.notices.front().find("cut off"), std::string::npos);
  EXPECT_GT(generator_.count_tokens(request.model, request.prompt), request.max_sequence_length);
}

TEST_F(Running, LatentsOfAnotherShapeOrNameAreRefused) {
  test::TemporaryFolder folder;
  Request request = tiny_request();
  const auto kind_of = [&](const TensorMap& tensors) {
    save_tensors(folder / "in.safetensors", tensors);
    request.latents_in = folder / "in.safetensors";
    try {
      run(request);
    } catch (const Error& error) {
      return error.kind();
    }
    return ErrorKind::Cancelled;
  };
  EXPECT_EQ(kind_of({{"latents", at::zeros({1, 3, 4, 6, 7})}}), ErrorKind::InvalidArgument);
  EXPECT_EQ(kind_of({{"noise", at::zeros({1, 3, 4, 6, 8})}}), ErrorKind::Corrupt);
  EXPECT_EQ(kind_of({{"latents", at::full({1, 3, 4, 6, 8}, std::nan(""))}}), ErrorKind::Corrupt);
  EXPECT_EQ(kind_of({{"latents", at::ones({1, 3, 4, 6, 8})}}), ErrorKind::Cancelled) << "the right shape is taken";
}

TEST_F(Running, DamagedWeightsAreNamedByTheStageWhereTheyShow) {
  test::TemporaryFolder folder;
  std::filesystem::copy(kGolden / "cogx_5b_ddim", folder / "model", std::filesystem::copy_options::recursive);
  const auto file = folder / "model/transformer/diffusion_pytorch_model.safetensors";
  TensorMap weights = load_tensors(file);
  for (auto& [key, weight] : weights) weight = weight.clone();
  weights.at("proj_out.bias").fill_(std::numeric_limits<float>::infinity());
  save_tensors(file, weights);
  Request request = tiny_request();
  request.model = folder / "model";
  try {
    run(request);
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::Corrupt);
    EXPECT_NE(std::string(error.what()).find("transformer at step 1"), std::string::npos) << error.what();
  }
}

TEST_F(Running, HalfPrecisionRunsAndComesClose) {
  test::TemporaryFolder folder;
  Request request = tiny_request("full", "cogx_5b_ddim");
  request.steps = 2;
  const RunResult drawn = run(request);
  request.latents_in = folder / "noise.safetensors";  // torch draws other numbers in bfloat16
  Generator::save_latents(drawn, request.latents_in);
  const RunResult exact = run(request);
  request.dtype = "bfloat16";
  const RunResult half = run(request);
  double difference = 0;
  for (std::size_t i = 0; i < exact.frames.rgb.size(); ++i) difference += std::abs(exact.frames.rgb[i] - half.frames.rgb[i]);
  EXPECT_LT(difference / static_cast<double>(exact.frames.rgb.size()), 0.05);
  EXPECT_GT(difference, 0);
}

TEST_F(Running, MixedMakesTheVideoOfFloat32Within40dB) {
  Request request;
  request.model = Generator::bundled_model();
  request.prompt = Generator::inspect(request.model).example_prompt;
  request.height = request.width = 128;
  request.frames = 17;
  request.steps = 6;
  request.threads = 1;
  request.dtype = "float32";
  const RunResult exact = run(request);
  request.dtype = "mixed";
  const RunResult mixed = run(request);
  EXPECT_EQ(mixed.noise_hash, exact.noise_hash);
  EXPECT_NE(mixed.frames.rgb, exact.frames.rgb);
  EXPECT_GT(psnr(mixed.frames, exact.frames).mean_db, 40);
}

TEST_F(Running, WhatCannotFitIsRefusedBeforeItStarts) {
  Request request = tiny_request();
  request.frames = 100001;
  request.height = 16384;
  request.width = 16384;
  try {
    run(request);
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::OutOfMemory);
    EXPECT_NE(std::string(error.what()).find("needs about"), std::string::npos) << error.what();
  }
  EXPECT_EQ(run(tiny_request()).frames.count, 9);
}

TEST_F(Running, RunningOutOfMemoryEndsTheRunAndLeavesTheGeneratorUsable) {
  const RunResult before = run(tiny_request());
  Request large = tiny_request();
  large.frames = 5;
  large.height = large.width = 1024;
  large.steps = 1;
  rlimit old{};
  ASSERT_EQ(getrlimit(RLIMIT_AS, &old), 0);
  long pages = 0;
  std::ifstream("/proc/self/statm") >> pages;
  rlimit tight = old;
  tight.rlim_cur = static_cast<rlim_t>(pages) * 4096 + (100u << 20);
  ASSERT_EQ(setrlimit(RLIMIT_AS, &tight), 0);
  ErrorKind kind = ErrorKind::Cancelled;
  std::string message;
  try {
    run(large);
  } catch (const Error& error) {
    kind = error.kind();
    message = error.what();
  } catch (const std::exception& error) {
    message = error.what();
  }
  ASSERT_EQ(setrlimit(RLIMIT_AS, &old), 0);
  EXPECT_EQ(kind, ErrorKind::OutOfMemory) << message;
  EXPECT_EQ(run(tiny_request()).frames.rgb, before.frames.rgb);
}

}  // namespace
}  // namespace ditscope
