#include "core/pipeline/attend.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <cmath>

#include "core/checkpoint/safetensors.h"
#include "kernels/error.h"
#include "tests/support/temporary_folder.h"

namespace ditscope {
namespace {

/// q, k and v (3,2,1,39,8): a grid of 2 x 4 x 4 after 7 tokens of text, an unconditional and a conditional branch.
AttendRequest request_in(const std::filesystem::path& folder, const char* method) {
  at::manual_seed(3);
  TensorMap tensors;
  for (const char* name : {"q", "k", "v"}) tensors[name] = at::randn({3, 2, 1, 39, 8});
  AttendRequest request;
  request.tensors = folder / "qkv.safetensors";
  save_tensors(request.tensors, tensors);
  request.out = folder / "out.safetensors";
  request.method = parse_method_choice(method);
  request.frames = 2;
  request.rows = request.columns = 4;
  request.text_tokens = 7;
  request.conditional = {false, true};
  request.threads = 1;
  return request;
}

TEST(Attend, AStepThatReusesAnOutputKeepsNoPair) {
  const test::TemporaryFolder folder;
  const AttendRequest request =
      request_in(folder.path(), "ditfastattn:warmup_steps=0,refresh_period=5,reuse_period=2,kept_ratio=0.25");
  const AttendResult result = attend_file(request);
  const TensorMap written = load_tensors(request.out);
  ASSERT_EQ(result.steps[1].kind, "cached");
  EXPECT_EQ(result.steps[1].kept_ratio_achieved, 0);
  EXPECT_TRUE(written.at("out")[1].equal(written.at("out")[0]));
  EXPECT_EQ(written.at("kept")[1].max().item<float>(), 0);
  EXPECT_TRUE(written.at("lse")[1].isinf().all().item<bool>());
  EXPECT_EQ(written.at("kept")[0].min().item<float>(), 1);
  EXPECT_TRUE(written.at("lse")[0].isfinite().all().item<bool>());
  EXPECT_NEAR(written.at("kept")[2].mean().item<double>(), result.steps[2].kept_ratio_achieved, 1e-6);
}

TEST(Attend, RefusedTensorsLeaveNoFile) {
  const test::TemporaryFolder folder;
  AttendRequest request = request_in(folder.path(), "adaspa");
  request.text_tokens = 8;
  EXPECT_THROW(attend_file(request), Error);
  request.text_tokens = 7;
  TensorMap tensors = load_tensors(request.tensors);
  tensors["k"] = tensors["k"].clone();
  tensors["k"][1][0][0][5][2] = std::nan("");
  save_tensors(request.tensors, tensors);
  EXPECT_THROW(attend_file(request), Error);
  for (const char* name : {"q", "k"}) tensors[name] = at::full({3, 2, 1, 39, 8}, 1e30f);  // finite, but their products are not
  save_tensors(request.tensors, tensors);
  EXPECT_THROW(attend_file(request), Error);
  EXPECT_FALSE(std::filesystem::exists(request.out));
}

TEST(Attend, RefusesToWriteOverWhatItReads) {
  const test::TemporaryFolder folder;
  AttendRequest request = request_in(folder.path(), "full");
  request.out = folder.path() / "." / "qkv.safetensors";
  EXPECT_THROW(attend_file(request), Error);
  EXPECT_EQ(load_tensors(request.tensors).count("q"), 1);
}

TEST(Attend, RefusesStepsAndLayersBeyondAnyRun) {
  const test::TemporaryFolder folder;
  void (*const spoilers[])(AttendRequest&) = {
      [](AttendRequest& r) { r.first_step = 2147483647; },
      [](AttendRequest& r) { r.total_steps = 2000000000; },
      [](AttendRequest& r) { r.layers = 2000000000; },
      [](AttendRequest& r) { r.memory_budget_bytes = -1; },
  };
  for (const auto spoil : spoilers) {
    AttendRequest request = request_in(folder.path(), "re-ttention");
    spoil(request);
    EXPECT_THROW(attend_file(request), Error);
  }
}

}  // namespace
}  // namespace ditscope
