#include "core/capture/bookmarks.h"

#include <gtest/gtest.h>

#include "core/capture/capture_reader.h"
#include "core/capture/capture_writer.h"
#include "kernels/error.h"
#include "tests/support/temporary_folder.h"

namespace ditscope {
namespace {

CaptureRun tiny_run() {
  CaptureRun run;
  run.name = run.method = "full";
  run.branches = {"conditional"};
  run.dtype = "float32";
  run.steps = 1;
  run.model = {"tiny", "T", "{}", "abc", 1, 1, 8};
  return run;
}

CaptureSizes tiny_sizes() {
  CaptureSizes sizes;
  sizes.steps = sizes.layers = sizes.branches = sizes.heads = 1;
  sizes.head_width = 8;
  sizes.tokens = 4;
  return sizes;
}

class Bookmarks : public ::testing::Test {
 protected:
  void SetUp() override {
    writer_ = std::make_unique<CaptureWriter>(file_, CaptureOptions{});
    writer_->begin_run(tiny_run(), tiny_sizes());
    CaptureStep step;
    step.run_id = 1;
    writer_->end_step(step);
    writer_->drain();
  }
  test::TemporaryFolder folder_;
  std::filesystem::path file_ = folder_.path() / "a.ditcap";
  std::unique_ptr<CaptureWriter> writer_;
};

TEST_F(Bookmarks, ComeBackAsTheyWereAddedOldestFirst) {
  writer_->close();
  CaptureBookmark first{0, "Drift begins", "λ too large", "#2EE6C5", R"({"locked":[412]})", 1, 12, 5, 3, 1};
  const std::int64_t id = add_bookmark(file_, first);
  add_bookmark(file_, {0, "Later", "", "", "{}", 1, 17, 5, 3, 1});
  const std::vector<CaptureBookmark> found = CaptureReader(file_).bookmarks(1);
  ASSERT_EQ(found.size(), 2u);
  EXPECT_EQ(found[0].bookmark_id, id);
  EXPECT_EQ(found[0].title, first.title);
  EXPECT_EQ(found[0].note, first.note);
  EXPECT_EQ(found[0].step, 12);
  EXPECT_EQ(found[0].layer, 5);
  EXPECT_EQ(found[0].head, 3);
  EXPECT_EQ(found[0].view, first.view);
  EXPECT_EQ(found[1].title, "Later");
  remove_bookmark(file_, id);
  EXPECT_EQ(CaptureReader(file_).bookmarks(1).size(), 1u);
}

TEST_F(Bookmarks, LeaveTheRestOfTheCaptureAlone) {
  writer_->close();
  add_bookmark(file_, {0, "Here", "", "", "{}", 1, 0, 0, 0, 0});
  const CaptureReader reader(file_);
  EXPECT_EQ(reader.meta().state, "complete");
  EXPECT_EQ(reader.steps(1).size(), 1u);
}

TEST_F(Bookmarks, AreRefusedWhileARunRecords) {
  EXPECT_THROW(add_bookmark(file_, {0, "Here", "", "", "{}", 1, 0, 0, 0, 0}), Error);
  EXPECT_TRUE(CaptureReader(file_).bookmarks(1).empty());
  writer_->close();
  EXPECT_NO_THROW(add_bookmark(file_, {0, "Here", "", "", "{}", 1, 0, 0, 0, 0}));
}

TEST_F(Bookmarks, AreRefusedWithTextsThatAreTooLong) {
  writer_->close();
  EXPECT_THROW(add_bookmark(file_, {0, std::string(5000, 'x'), "", "", "{}", 1, 0, 0, 0, 0}), Error);
  EXPECT_THROW(add_bookmark(folder_.path() / "none.ditcap", {0, "Here", "", "", "{}", 1, 0, 0, 0, 0}), Error);
}

}  // namespace
}  // namespace ditscope
