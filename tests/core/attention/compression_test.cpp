#include "core/attention/compression.h"

#include <gtest/gtest.h>

#include <unistd.h>

#include <fstream>

#include "core/attention/calibration.h"
#include "core/attention/methods.h"
#include "core/attention/registry.h"
#include "core/attention/session.h"
#include "core/attention/window_plan.h"
#include "kernels/error.h"
#include "tests/core/attention/calls.h"

namespace ditscope {
namespace {

using test::exact_attention;
using test::make_call;
using test::max_difference;
using test::small_video;
using enum Compression;

std::unique_ptr<Planner> window() {
  return make_window({{"kept_ratio", 0.2}}, 8);
}

/// Every cell and every way from one to the next that means something.
const std::vector<Compression> kCells{Full,   Reuse,          Residual, ResidualShared, Reuse, Shared,
                                      Reuse,  ResidualShared, Residual, Full,           Full,  Residual};

TEST(Compression, EveryCellIsItsFormula) {
  for (const bool first_half : {false, true}) {
    CompressionOptions options;
    options.first_half_residual = first_half;
    CompressedMethod method(window(), {static_cast<int>(kCells.size()), 1, kCells}, options);
    const at::Tensor keep = test::specified_window(small_video(), 0.2);
    at::Tensor residual, output;  // (B,H,T,D), element 0 unconditional
    for (std::size_t step = 0; step < kCells.size(); ++step) {
      const LayerCall call = make_call(small_video(), static_cast<int>(step), static_cast<int>(kCells.size()));
      at::Tensor full = exact_attention(call).first, over = exact_attention(call, keep).first, expected;
      switch (kCells[step]) {
        case Full:
          expected = full;
          residual = full - over;
          break;
        case Shared:
          expected = at::stack({full[1], full[1]});
          residual = at::stack({full[1] - over[1], full[1] - over[1]});
          break;
        case Residual:
          expected = over + residual;
          break;
        case ResidualShared: {
          const at::Tensor one = over[1] + residual[first_half ? 0 : 1];
          expected = at::stack({one, one});
          break;
        }
        case Reuse:
          expected = output;
          break;
      }
      const BlockPlan plan = method.plan(call);
      const at::Tensor out = method.execute(call, plan);
      EXPECT_LT(max_difference(out, expected), 2e-5) << "step " << step;
      EXPECT_EQ(plan.kind == StepKind::Cached, kCells[step] == Reuse) << "step " << step;
      const double kept = keep.to(at::kDouble).mean().item<double>();
      const double cost[] = {1, 0, kept / 2, kept, 0.5};
      const bool refreshes = plan.kind == StepKind::Refresh;
      EXPECT_NEAR(plan.achieved, cost[static_cast<int>(kCells[step])] + (refreshes ? kept * (kCells[step] == Shared ? 0.5 : 1) : 0), 1e-9) << step;
      output = expected;
      residual = residual.clone();
    }
  }
}

TEST(Compression, RemembersNoMoreThanTheRestOfTheTableNeeds) {
  const auto held_after = [&](std::vector<Compression> cells) {
    const int steps = static_cast<int>(cells.size());
    CompressedMethod method(window(), {steps, 1, std::move(cells)}, {});
    const LayerCall call = make_call(small_video(), 0, steps);
    method.execute(call, method.plan(call));
    const std::int64_t masks = [&] {
      std::set<const Selection*> selections;
      const auto planner = window();
      planner->plan(call, 0);
      planner->add_selections(selections);
      std::int64_t bytes = 0;
      for (const Selection* s : selections) bytes += s->bytes();
      return bytes;
    }();
    return method.bytes_held() >= masks ? method.bytes_held() - masks : method.bytes_held();
  };
  const std::int64_t one = make_call(small_video(), 0, 4).q.numel() * 4;
  EXPECT_LT(held_after({Full, Full, Residual}), one);
  EXPECT_GE(held_after({Full, Residual, Full}), one);
  EXPECT_GE(held_after({Full, Reuse, Residual}), 2 * one);
  const CompressedMethod method(window(), {3, 1, {Full, Reuse, Residual}}, {});
  EXPECT_EQ(method.estimate_bytes({.layers = 1, .batch = 2, .heads = 3, .tokens = small_video().tokens(), .head_dim = 16}), 2 * one);
}

TEST(Compression, ScheduleOptionsShareStepsAndBranches) {
  const MethodChoice choice{"ditfastattn",
                            {{"warmup_steps", std::int64_t{1}}, {"refresh_period", std::int64_t{5}}, {"reuse_period", std::int64_t{2}}, {"share_branches", true}}};
  AttentionSession session(choice, 8);
  std::vector<at::Tensor> outs;
  for (int step = 0; step < 6; ++step) outs.push_back(session.attend(make_call(small_video(), step, 8)));
  EXPECT_EQ(session.step_record(1).kind, StepKind::Refresh);
  EXPECT_EQ(session.step_record(2).kind, StepKind::Cached);
  EXPECT_EQ(session.step_record(3).kind, StepKind::Sparse);
  EXPECT_TRUE(at::equal(outs[2], outs[1]));
  EXPECT_TRUE(at::equal(outs[3][0], outs[3][1])) << "both branches";
  EXPECT_FALSE(at::equal(outs[1][0], outs[1][1]));
  EXPECT_TRUE(at::equal(outs[4], outs[3]));
}

TEST(Compression, ABranchAloneIsAttendedTo) {
  CompressedMethod method(window(), {2, 1, {Shared, ResidualShared}}, {});
  for (int step = 0; step < 2; ++step) {
    const LayerCall call = make_call(small_video(), step, 2, 1, 1);
    EXPECT_TRUE(at::isfinite(method.execute(call, method.plan(call))).all().item<bool>());
  }
}

TEST(Compression, ACloneLeavesNoTrace) {
  const auto step_of = [](Method& m, int step, std::uint64_t seed) {
    const LayerCall call = make_call(small_video(), step, 12, seed);
    return m.execute(call, m.plan(call));
  };
  CompressedMethod method(window(), {12, 1, kCells}, {}), alone(window(), {12, 1, kCells}, {});
  for (int step = 0; step < 3; ++step) EXPECT_TRUE(at::equal(step_of(method, step, 1), step_of(alone, step, 1)));
  const auto copy = method.clone();
  for (int step = 3; step < 12; ++step) step_of(*copy, step, 9);
  for (int step = 3; step < 12; ++step) EXPECT_TRUE(at::equal(step_of(method, step, 1), step_of(alone, step, 1))) << step;
}

TEST(TwoLevelResidual, IsTheResidualMovedByWhatItChangedBy) {
  for (const std::int64_t rank : {2, 16}) {
    const MethodChoice choice{"window+two-level-residual",
                              {{"warmup_steps", std::int64_t{0}}, {"refresh_period", std::int64_t{2}}, {"kept_ratio", 0.2}, {"change_rank", rank}}};
    AttentionSession session(choice, 6);
    const at::Tensor keep = test::specified_window(small_video(), 0.2);
    at::Tensor before, residual;  // (B,H,T,D)
    for (int step = 0; step < 6; ++step) {
      const LayerCall call = make_call(small_video(), step, 6);
      const at::Tensor full = exact_attention(call).first, over = exact_attention(call, keep).first, out = session.attend(call);
      if (step % 2 == 0) {
        before = residual;
        residual = full - over;
        EXPECT_LT(max_difference(out, full), 2e-5);
        continue;
      }
      at::Tensor expected = over + residual;
      if (before.defined()) {
        const auto [u, s, v] = at::linalg_svd(residual - before, false);
        expected = expected + at::matmul(u.slice(3, 0, rank) * s.slice(2, 0, rank).unsqueeze(2), v.slice(2, 0, rank));
      }
      EXPECT_LT(max_difference(out, expected), 5e-5) << "rank " << rank << " step " << step;
    }
  }
}

TEST(Window, TheBandIsDiTFastAttns) {
  TokenLayout layout = small_video();
  layout.text_tokens = 0;
  const std::int64_t n = layout.tokens();  // 120: w = 15 at 1/4
  const BlockMask mask = band_mask(layout, 0.25);
  std::int64_t kept = 0;
  for (std::int64_t i = 0; i < n; ++i)
    for (std::int64_t j = 0; j < n; ++j) kept += std::abs(i - j) <= n / 8;
  EXPECT_NEAR(mask.kept_ratio(), static_cast<double>(kept) / static_cast<double>(n * n), 1e-12);
  EXPECT_NEAR(mask.kept_ratio(), 2.0 / 8 - 1.0 / 64, 0.01) << "2w/N - (w/N)^2, about 23 %";
}

struct TemporaryFile {
  std::filesystem::path path = std::filesystem::temp_directory_path() / ("calibration-" + std::to_string(::getpid()) + ".json");
  ~TemporaryFile() { std::filesystem::remove(path); }
};

Calibration sample() {
  Calibration c;
  c.method = "ditfastattn";
  c.key = {"abc", 1, 3, 3, 16, 4, 5, 6, 11};
  c.key.steps = 3;
  c.tables["plan"] = {{3, 1}, {0, 1, 2}};
  return c;
}

TEST(Calibration, ServesTheModelAndGridItWasMadeForAndNoOther) {
  const TemporaryFile file;
  sample().write(file.path);
  const MethodChoice choice{"ditfastattn", {{"plan", file.path.string()}}};
  EXPECT_TRUE(has_calibration(choice));
  EXPECT_NO_THROW(require_calibrations(choice, sample().key));
  const auto refused = [&](const char* what, const auto& change) {
    CalibrationKey key = sample().key;
    change(key);
    try {
      require_calibrations(choice, key);
      ADD_FAILURE() << what;
    } catch (const Error& error) {
      EXPECT_EQ(error.kind(), ErrorKind::InvalidArgument);
      EXPECT_NE(std::string(error.what()).find(what), std::string::npos) << error.what();
    }
  };
  refused("model", [](CalibrationKey& k) { k.model = "abd"; });
  refused("frames", [](CalibrationKey& k) { k.frames = 5; });
  refused("steps", [](CalibrationKey& k) { k.steps = 4; });
  refused("text_tokens", [](CalibrationKey& k) { k.text_tokens = 0; });
  CalibrationKey unknown = sample().key;
  unknown.model = "";
  EXPECT_NO_THROW(require_calibrations(choice, unknown)) << "tensors alone name no model";

  AttentionSession session(choice, 3);
  for (int step = 0; step < 3; ++step) session.attend(make_call(small_video(), step, 3));
  EXPECT_EQ(session.step_record(1).kind, StepKind::Cached);
  EXPECT_EQ(session.step_record(2).kind, StepKind::Sparse);
}

TEST(Calibration, WhatIsNoCalibrationIsRefused) {
  const TemporaryFile file;
  const MethodChoice choice{"ditfastattn", {{"plan", file.path.string()}}};
  const auto kind_of = [&] {
    try {
      make_method(choice, 3);
    } catch (const Error& error) {
      return error.kind();
    }
    return ErrorKind::Cancelled;
  };
  EXPECT_EQ(kind_of(), ErrorKind::NotFound);
  std::ofstream(file.path) << "{\"format\": 3}";
  EXPECT_EQ(kind_of(), ErrorKind::Corrupt);
  sample().write(file.path);
  std::string text;
  std::getline(std::ifstream(file.path), text, '\0');
  const std::size_t at = text.find("\"frames\": 4");
  ASSERT_NE(at, std::string::npos) << text;
  text.replace(at, 11, "\"frames\": 5");
  std::ofstream(file.path) << text;
  EXPECT_EQ(kind_of(), ErrorKind::Corrupt) << "a key that was changed by hand no longer has its hash";
  Calibration wrong = sample();
  wrong.tables["plan"].values[1] = 9;
  wrong.write(file.path);
  EXPECT_EQ(kind_of(), ErrorKind::Corrupt) << "no such code";
  EXPECT_THROW(make_method({"ditfastattn", {{"plan", std::string()}}}, 3), Error);
}

}  // namespace
}  // namespace ditscope
