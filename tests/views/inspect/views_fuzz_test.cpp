// Every view on captures that lie. More of them: DITSCOPE_FUZZ=20000 test_inspect --gtest_filter=ViewsFuzz.*
#include <gtest/gtest.h>

#include "kernels/error.h"
#include "tests/core/capture/hostile_capture.h"
#include "tests/support/temporary_folder.h"
#include "tests/views/inspect/inspect_support.h"
#include "tests/views/inspect/plot_capture.h"
#include "tests/views/inspect/recording_canvas.h"
#include "tests/views/inspect/synthetic_capture.h"
#include "views/inspect/view.h"

namespace ditscope::views {
namespace {

/// Opens a file and paints every view at some places of it; a file that is no capture is told.
bool paints_all(const std::filesystem::path& file) {
  Inspection inspection(Inspection::Loading::AtOnce);
  try {
    inspection.open(file);
  } catch (const Error& error) {
    EXPECT_GT(std::string(error.what()).size(), 20u);
    return false;
  }
  for (const InspectCursor& at : {InspectCursor{0, 0, 0, 0, 0}, InspectCursor{1, 3, 1, 2, 1}, InspectCursor{0, 1 << 20, 1 << 20, 1 << 20, 1 << 20}}) {
    inspection.set_cursor(at);
    inspection.set_locked({0, 9});
    for (const std::string& id : inspect_view_ids()) {
      const std::unique_ptr<InspectView> view = make_inspect_view(id);
      RecordingCanvas canvas;
      const ViewContext context{inspection, inspection.cursor(), theme_for_tests(), {0, 0, 600, 400}, 1, 1, true, 0};
      view->paint(canvas, context);
      EXPECT_EQ(canvas.clips, 0) << id;
      PointerEvent event;
      event.kind = PointerEvent::Kind::Move, event.at = {300, 200};
      view->pointer(event, context);
      view->tooltip(event.at, context);
      view->spoken(context);
      try {
        view->data(context);
      } catch (const Error&) {  // there are no numbers
      }
    }
  }
  return true;
}

void fuzz(const std::filesystem::path& folder, const std::filesystem::path& good, const test::FuzzRange& range) {
  test::HostileCapture hostile(good);
  int painted = 0, told = 0;
  for (std::uint64_t seed = range.first; seed < range.last && !::testing::Test::HasFailure(); ++seed) {
    SCOPED_TRACE(hostile.write(folder / "mutant.ditcap", seed));
    ASSERT_NO_THROW(++(paints_all(folder / "mutant.ditcap") ? painted : told)) << "something got out of a view";
  }
  EXPECT_GT(painted, 0);
  EXPECT_GT(told, 0);
}

TEST(ViewsFuzz, PaintPlotsOfLies) {
  test::TemporaryFolder folder;
  write_plot_capture(folder / "good.ditcap");
  fuzz(folder.path(), folder / "good.ditcap", test::FuzzRange(60));
}

TEST(ViewsFuzz, PaintMapsAndMasksOfLies) {
  test::TemporaryFolder folder;
  SyntheticCapture wanted;
  wanted.operands = true;
  write_synthetic(folder / "good.ditcap", wanted);
  fuzz(folder.path(), folder / "good.ditcap", test::FuzzRange(60));
}

TEST(ViewsFuzz, PaintTheLargestSizesThatAreRead) {
  test::TemporaryFolder folder;
  write_plot_capture(folder / "big.ditcap");
  sqlite3* database = nullptr;
  ASSERT_EQ(sqlite3_open((folder / "big.ditcap").c_str(), &database), SQLITE_OK);
  const char* const huge = "UPDATE requests SET grid_frames = 16, grid_rows = 255, grid_columns = 256, text_tokens = 4096, steps = 1024; "
                           "UPDATE models SET layers = 64, heads = 64";
  EXPECT_EQ(sqlite3_exec(database, huge, nullptr, nullptr, nullptr), SQLITE_OK);
  sqlite3_close(database);
  EXPECT_TRUE(paints_all(folder / "big.ditcap"));
}

}  // namespace
}  // namespace ditscope::views
