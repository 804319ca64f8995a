// The reader on files that lie. More of them: DITSCOPE_FUZZ=100000 test_capture --gtest_filter=CaptureFuzz.*
#include <gtest/gtest.h>

#include "core/capture/capture_copy.h"
#include "core/capture/capture_diff.h"
#include "core/capture/exact_attention.h"
#include "kernels/error.h"
#include "tests/core/capture/hostile_capture.h"
#include "tests/core/capture/small_capture.h"
#include "tests/support/temporary_folder.h"

namespace ditscope {
namespace {

using namespace test;

/// Reads one thing after another; what is told as an Error is told.
class ReadsEverything {
 public:
  int told = 0, read = 0;

  void operator()(const fs::path& file) {
    attempt([&] {
      const CaptureReader reader(file);
      attempt([&] { reader.meta(); });
      attempt([&] { reader.gaps(); });
      std::vector<CaptureRun> runs;
      attempt([&] { runs = reader.runs(); });
      for (const CaptureRun& run : runs) of_run(reader, run);
      attempt([&] { capture_difference(reader, 1, reader, 2); });
    });
  }

 private:
  template <typename Work>
  void attempt(const Work& work) {
    try {
      work();
      ++read;
    } catch (const Error& error) {
      EXPECT_GT(std::string(error.what()).size(), 20u);
      ++told;
    }
  }
  void of_run(const CaptureReader& reader, const CaptureRun& run) {
    attempt([&] { reader.steps(run.run_id); });
    attempt([&] { reader.bookmarks(run.run_id); });
    attempt([&] { EXPECT_EQ(static_cast<std::int64_t>(reader.token_order(run).size()), run.tokens()); });
    attempt([&] { reader.head_values(run.run_id, "recall"); });
    attempt([&] { reader.head_values(run.run_id, "plan_id", 1); });
    std::vector<CaptureCall> calls;
    attempt([&] { calls = reader.calls(run.run_id); });
    for (const CaptureCall& call : calls) {
      for (const CaptureHead& head : call.heads) {
        attempt([&] {
          const auto plan = reader.plan(head.plan_id, run.tokens());
          plan->row(0);
          plan->kept_ratios(map_edges(run.text_tokens, run.text_first, run.tokens(), 64));
        });
      }
    }
    std::vector<CaptureArrayInfo> arrays;
    attempt([&] { arrays = reader.arrays(run.run_id); });
    for (const CaptureArrayInfo& info : arrays) attempt([&] { reader.values(info); });
    attempt([&] { attention_rows(stored_operands(reader, run.run_id, 1, 0, 1), 0, {3}); });
  }
};

/// With q, k and v of a call, so that exact rows are read too.
void write_whole_capture(const fs::path& file) {
  CaptureOptions options;
  options.level = CaptureOptions::Level::Summary;
  CaptureWriter writer(file, options);
  for (int r = 0; r < 2; ++r) {
    CaptureRun run = small_run();
    writer.begin_run(run, small_sizes());
    for (const char* kind : {"q", "k", "v"}) {
      CaptureTensor t = array(kind, 1, {kHeads, kTokens, 16}, 0.1F, "<u2", "bf16", "shuffle");
      t.layer = 0, t.branch = 1;
      writer.add(t);
    }
    for (int step = 0; step < 3; ++step) add_step(writer, step);
    run.state = "complete";
    writer.end_run(run);
  }
  writer.close();
}

TEST(CaptureFuzz, LiesAreToldAsErrorsOrRead) {
  TemporaryFolder folder;
  const fs::path good = folder / "good.ditcap", mutant = folder / "mutant.ditcap";
  write_whole_capture(good);
  HostileCapture hostile(good);
  ReadsEverything reads;
  const FuzzRange range(400);
  for (std::uint64_t seed = range.first; seed < range.last; ++seed) {
    SCOPED_TRACE(hostile.write(mutant, seed));
    ASSERT_NO_THROW(reads(mutant)) << "something else than an Error";
    if (seed % 16 == 2) {
      try {
        copy_capture(mutant, folder / "copy.ditcap", {});
      } catch (const Error&) {
      }
    }
    if (::testing::Test::HasFailure()) break;
  }
  EXPECT_GT(reads.told, static_cast<int>(range.last - range.first) / 4);
  EXPECT_GT(reads.read, static_cast<int>(range.last - range.first));
}

}  // namespace
}  // namespace ditscope
