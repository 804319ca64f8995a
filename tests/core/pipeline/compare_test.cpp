#include "core/pipeline/compare.h"

#include <gtest/gtest.h>

#include <filesystem>

namespace ditscope {
namespace {

const std::filesystem::path kModel = std::filesystem::path(DITSCOPE_SOURCE_DIR) / "tests/golden/cogx_5b_ddim";

class Silence final : public EventSink {
 public:
  void on_event(const Event&) override {}
};

Request tiny_request() {
  Request request;
  request.model = kModel;
  request.prompt = "a small red cat";
  request.steps = 6;
  request.frames = 5;
  request.height = 48;
  request.width = 64;
  request.device = "cpu";
  request.threads = 1;
  return request;
}

TEST(MethodList, SplitsAtSemicolonsAndIgnoresBlanks) {
  const auto methods = parse_method_list(" full ;; re-ttention:kept_ratio=0.25,warmup_steps=2; window ");
  ASSERT_EQ(methods.size(), 3u);
  EXPECT_EQ(methods[0].key, "full");
  EXPECT_EQ(methods[1].key, "re-ttention");
  EXPECT_EQ(methods[1].parameters.size(), 2u);
  EXPECT_EQ(methods[2].key, "window");
}

TEST(MethodList, IsNotEmpty) {
  for (const char* text : {"", ";", " ; "}) EXPECT_THROW(parse_method_list(text), Error) << text;
}

TEST(Compare, MeasuresEveryRunAgainstTheFirstOnTheSameNoise) {
  Generator generator;
  Silence sink;
  RunControl control;
  std::vector<std::size_t> begun;
  const auto runs = compare(generator, tiny_request(), parse_method_list("full;full;window:kept_ratio=0.1"), sink, control,
                            [&](std::size_t index) { begun.push_back(index); });
  ASSERT_EQ(runs.size(), 3u);
  EXPECT_EQ(begun, (std::vector<std::size_t>{0, 1, 2}));
  EXPECT_FALSE(runs[0].psnr_db);
  EXPECT_FALSE(runs[0].ssim);
  ASSERT_TRUE(runs[1].psnr_db && runs[1].ssim && runs[2].psnr_db && runs[2].ssim);
  EXPECT_DOUBLE_EQ(*runs[1].psnr_db, 100) << "equal frames, the recipe's ceiling";
  EXPECT_NEAR(*runs[1].ssim, 1, 1e-9);
  EXPECT_LT(*runs[2].psnr_db, 100);
  EXPECT_EQ(runs[0].result.noise_hash, runs[2].result.noise_hash);
}

TEST(Compare, ChecksAllMethodsBeforeAnythingRuns) {
  Generator generator;
  Silence sink;
  RunControl control;
  bool begun = false;
  EXPECT_THROW(
      compare(generator, tiny_request(), {{"full", {}}, {"windw", {}}}, sink, control, [&](std::size_t) { begun = true; }),
      Error);
  EXPECT_FALSE(begun);
}

TEST(Compare, AStopEndsTheComparison) {
  Generator generator;
  Silence sink;
  RunControl control;
  const auto runs =
      compare(generator, tiny_request(), parse_method_list("full;window;re-ttention"), sink, control, [&](std::size_t index) {
        if (index == 1) control.request_stop();
      });
  ASSERT_EQ(runs.size(), 2u);
  EXPECT_FALSE(runs[0].result.stopped);
  EXPECT_TRUE(runs[1].result.stopped);
  EXPECT_FALSE(runs[1].psnr_db);
}

}  // namespace
}  // namespace ditscope
