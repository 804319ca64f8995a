// Step caches in whole runs of a tiny model: what they leave out, that they go with every method of attention, and that stopped,
// resumed, captured and replayed runs have the bits of whole ones.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>

#include "core/capture/capture_reader.h"
#include "core/capture/capture_writer.h"
#include "core/capture/exact_attention.h"
#include "core/catalog/step_caches.h"
#include "core/pipeline/generator.h"
#include "tests/core/pipeline/tiny_request.h"
#include "tests/support/temporary_folder.h"

namespace ditscope {
namespace {

using test::tiny_request;

class Listener final : public EventSink {
 public:
  std::function<void(const StepFinished&)> on_step;
  void on_event(const Event& event) override {
    const auto* step = std::get_if<StepFinished>(&event);
    if (step && on_step) on_step(*step);
  }
};

const std::vector<std::string> kCaches{"teacache:threshold=1", "adacache:codebook=30,threshold=20", "foresight:warmup_steps=3,threshold=2",
                                       "foresight:warmup_steps=3,threshold=2,jump=residual", "fbcache:threshold=2"};

Request request_of(const std::string& method, const std::string& cache) {
  Request request = tiny_request(method);
  if (!cache.empty()) request.method = with_step_cache(request.method, cache);
  return request;
}

class CachedRuns : public ::testing::Test {
 protected:
  RunResult run(const Request& request, CaptureWriter* capture = nullptr) {
    RunControl control;
    return generator_.run(request, listener_, control, capture);
  }

  Generator generator_;
  Listener listener_;
};

TEST_F(CachedRuns, LeaveOutBlocksAndSaySo) {
  const RunResult whole = run(request_of("full", ""));
  EXPECT_EQ(whole.reused_ratio, 0);
  for (const std::string& cache : kCaches) {
    const RunResult result = run(request_of("full", cache));
    double reused = 0;
    for (const StepRecord& step : result.steps) {
      EXPECT_EQ(step.kind == StepRecord::Kind::Cached, step.reused_ratio > 0) << cache;
      EXPECT_NEAR(step.kept_ratio_achieved, 1 - step.reused_ratio, 1e-12) << cache;
      if (step.reused_ratio == 1) EXPECT_EQ(step.attention_seconds, 0) << cache;
      reused += step.reused_ratio / static_cast<double>(result.steps.size());
    }
    EXPECT_GT(reused, 0) << cache;
    EXPECT_LT(reused, 1) << cache;
    EXPECT_NEAR(result.reused_ratio, reused, 1e-12) << cache;
    EXPECT_NEAR(result.kept_ratio.schedule_average, 1 - reused, 1e-12) << cache;
    EXPECT_GT(result.method_bytes, 0) << cache;
    EXPECT_LE(result.method_bytes, Generator::estimate_bytes(result.request).at("method")) << cache;
    EXPECT_NE(result.frames.rgb, whole.frames.rgb) << cache;
    EXPECT_EQ(result.notices.size(), cache.starts_with("teacache") ? 1u : 0u) << cache << ": no polynomial is known for the tiny model";
  }
}

TEST_F(CachedRuns, WithAThresholdOfZeroAreTheRunsThemselvesToTheBit) {
  for (const char* method : {"full", "re-ttention:kept_ratio=0.25", "adaspa:kept_ratio=0.25"}) {
    const RunResult whole = run(request_of(method, ""));
    for (const char* cache : {"teacache:threshold=0", "adacache:threshold=0", "foresight:threshold=0", "fbcache:threshold=0"}) {
      const RunResult result = run(request_of(method, cache));
      EXPECT_EQ(result.frames.rgb, whole.frames.rgb) << method << " " << cache;
      EXPECT_EQ(result.reused_ratio, 0);
      for (std::size_t i = 0; i < result.steps.size(); ++i) EXPECT_EQ(result.steps[i].kind, whole.steps[i].kind);
    }
  }
}

TEST_F(CachedRuns, NeverLeaveOutARefreshOrASearchOfTheAttention) {
  for (const char* method : {"re-ttention:kept_ratio=0.25,warmup_steps=2,refresh_period=3", "adaspa:kept_ratio=0.25,search_steps=2/6",
                             "adaspa+re-ttention:kept_ratio=0.25,search_steps=2,refresh_period=4", "ditfastattn:kept_ratio=0.25"}) {
    const RunResult plain = run(request_of(method, ""));
    for (const char* cache : {"teacache:threshold=10", "adacache:threshold=100,codebook=30", "foresight:threshold=1000,warmup_steps=2", "fbcache:threshold=10"}) {
      const RunResult result = run(request_of(method, cache));
      int renewed = 0;
      for (std::size_t i = 0; i < plain.steps.size(); ++i) {
        if (plain.steps[i].kind != StepRecord::Kind::Refresh && plain.steps[i].kind != StepRecord::Kind::Search) continue;
        EXPECT_EQ(result.steps[i].kind, plain.steps[i].kind) << method << " " << cache << ", step " << i;
        ++renewed;
      }
      EXPECT_GT(renewed, 0) << method;
      EXPECT_GT(result.reused_ratio, 0) << method << " " << cache;
    }
  }
}

TEST_F(CachedRuns, OneAfterAnotherHaveTheBitsOfEachAlone) {
  for (const std::string& cache : kCaches) {
    const Request a = request_of("re-ttention:kept_ratio=0.25", cache);
    Request b = a;
    b.prompt = "a large blue dog";
    b.seed = 7;
    b.width = 48;
    const RunResult first = run(a);
    run(b);
    EXPECT_EQ(run(a).frames.rgb, first.frames.rgb) << cache;
    EXPECT_GT(first.reused_ratio, 0) << cache;
  }
}

TEST_F(CachedRuns, StoppedAtAnyStepOrInTheMiddleOfOneAndResumedHaveTheBitsOfAWholeRun) {
  for (const std::string& cache : kCaches) {
    const Request request = request_of("re-ttention:kept_ratio=0.25,warmup_steps=2,refresh_period=3", cache);
    const RunResult whole = run(request);
    EXPECT_GT(whole.reused_ratio, 0) << cache;
    for (const int stop_after : {1, 4, 8}) {
      RunControl control;
      Listener stopper;
      stopper.on_step = [&](const StepFinished& step) {
        if (step.record.index + 1 == stop_after) control.request_stop(RunControl::Stop::Keep);  // takes effect within the next step
      };
      const RunResult stopped = generator_.run(request, stopper, control);
      ASSERT_TRUE(stopped.stopped) << cache;
      for (int again = 0; again < 2; ++again) {
        RunControl go_on;
        const RunResult resumed = generator_.resume(stopped, listener_, go_on);
        EXPECT_EQ(resumed.frames.rgb, whole.frames.rgb) << cache << " after " << stop_after << ", time " << again;
        EXPECT_NEAR(resumed.reused_ratio, whole.reused_ratio, 1e-12) << cache;
        EXPECT_EQ(resumed.notices, whole.notices) << cache;
      }
    }
  }
}

TEST_F(CachedRuns, AreCapturedAndReplayedToTheBit) {
  test::TemporaryFolder folder;
  for (std::size_t c = 0; c < kCaches.size(); ++c) {
    const std::string& cache = kCaches[c];
    const Request request = request_of("re-ttention:kept_ratio=0.25,warmup_steps=2,refresh_period=3", cache);
    const RunResult without = run(request);
    const auto file = folder / ("run" + std::to_string(c) + ".ditcap");
    {
      CaptureWriter writer(file, CaptureOptions{});
      EXPECT_EQ(run(request, &writer).frames.rgb, without.frames.rgb) << cache;
      writer.close();
    }
    const CaptureReader reader(file);
    int skipped = 0, replayed = 0;
    for (const CaptureStep& step : reader.steps(1)) {
      const StepRecord& record = without.steps[static_cast<std::size_t>(step.step)];
      EXPECT_EQ(step.action, step_kind_name(record.kind)) << cache;
      EXPECT_NEAR(*step.kept_ratio, record.kept_ratio_achieved, 1e-9) << cache;
      const auto calls = reader.calls(1, step.step);
      if (calls.empty()) {
        EXPECT_EQ(record.reused_ratio, 1) << cache << ", step " << step.step;
        ++skipped;
        continue;
      }
      if (step.step < 3) continue;
      RunControl control;
      const CaptureCall& call = calls.back();
      const AttentionOperands operands = generator_.replay(reader, 1, step.step, call.layer, call.branch, {}, listener_, control);
      EXPECT_TRUE(operands.bit_identical) << cache << ", step " << step.step << ": " << operands.note;
      ++replayed;
    }
    EXPECT_GT(replayed, 2) << cache;
    if (cache.starts_with("teacache") || cache.starts_with("adacache")) EXPECT_GT(skipped, 0) << cache;
  }
}

}  // namespace
}  // namespace ditscope
