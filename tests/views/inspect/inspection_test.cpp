#include "views/inspect/inspection.h"

#include <gtest/gtest.h>

#include "core/capture/capture_writer.h"
#include "kernels/error.h"
#include "tests/support/temporary_folder.h"

namespace ditscope::views {
namespace {

TEST(Inspection, FollowsACaptureStepByStepWhileItIsWritten) {
  const test::TemporaryFolder folder;
  CaptureOptions options;
  options.level = CaptureOptions::Level::Full;
  CaptureWriter writer(folder / "live.ditcap", options);
  CaptureRun run;
  run.name = run.method = "full";
  run.branches = {"conditional"};
  run.dtype = "float32";
  run.level = "full";
  run.steps = 3;
  run.frames = 1, run.height_px = run.width_px = 16;
  run.model = {"m", "T", "{}", "abc", 1, 1, 8};
  CaptureSizes sizes;
  sizes.steps = 3, sizes.layers = sizes.branches = sizes.heads = 1, sizes.head_width = 8, sizes.tokens = 1;
  run.run_id = writer.begin_run(run, sizes);
  const auto write_step = [&](int number) {
    CaptureStep step;
    step.run_id = run.run_id;
    step.step = number;
    writer.end_step(step);
    writer.drain();
  };
  write_step(0);
  Inspection inspection(Inspection::Loading::AtOnce);
  inspection.open(folder / "live.ditcap");
  int told = 0;
  inspection.on_change([&] { ++told; });
  EXPECT_EQ(inspection.run(0).steps.size(), 1u);
  EXPECT_FALSE(inspection.refresh()) << "nothing was written";
  EXPECT_EQ(told, 0);
  write_step(1);
  EXPECT_TRUE(inspection.refresh());
  EXPECT_EQ(told, 1);
  EXPECT_EQ(inspection.run(0).steps.size(), 2u);
  EXPECT_FALSE(inspection.refresh());
  run.state = "complete";
  writer.end_run(run);
  writer.close();
  EXPECT_TRUE(inspection.refresh());
  EXPECT_EQ(inspection.run(0).record.state, "complete");
  EXPECT_FALSE(inspection.refresh()) << "a finished capture is not looked at again";
}

TEST(Inspection, SaysWhyACaptureHoldsNoRun) {
  const test::TemporaryFolder folder;
  const auto message = [&] {
    try {
      Inspection(Inspection::Loading::AtOnce).open(folder / "none.ditcap");
      return std::string("opened");
    } catch (const Error& error) {
      return std::string(error.what());
    }
  };
  {
    CaptureWriter writer(folder / "none.ditcap", {});
    EXPECT_NE(message().find("holds no run yet; wait"), std::string::npos) << message();
    writer.close("stopped: the disk is nearly full");
  }
  EXPECT_NE(message().find("holds no run (stopped: the disk is nearly full)"), std::string::npos) << message();
}

}  // namespace
}  // namespace ditscope::views
