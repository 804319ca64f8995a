// Files that nobody wishes for: cut off, locked, read-only, on a full disk, huge, of one token, of no number at all.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <cmath>
#include <fstream>
#include <functional>
#include <thread>

#include "core/capture/bookmarks.h"
#include "core/capture/capture_source.h"
#include "core/history/sqlite.h"
#include "kernels/error.h"
#include "tests/core/capture/small_capture.h"
#include "tests/support/temporary_folder.h"

namespace ditscope {
namespace {

using namespace test;

constexpr int kNotPermitted = 77;

/// What opening a file says.
std::string message(const fs::path& file) {
  try {
    const CaptureReader reader(file);
    return "opened";
  } catch (const Error& error) {
    return std::string(error_kind_name(error.kind())) + ": " + error.what();
  }
}

/// Everything that a capture holds; throws where something cannot be read.
void read_all(const CaptureReader& reader) {
  for (const CaptureRun& run : reader.runs()) {
    reader.steps(run.run_id);
    for (const CaptureCall& call : reader.calls(run.run_id))
      for (const CaptureHead& head : call.heads) reader.plan(head.plan_id, run.tokens())->row(0);
    for (const CaptureArrayInfo& info : reader.arrays(run.run_id)) reader.values(info);
    reader.bookmarks(run.run_id);
  }
  reader.gaps();
}

/// Runs `work` in a process of its own; what it returns is what went wrong.
int in_child(const std::function<std::string()>& work) {
  const pid_t child = fork();
  if (child == 0) {
    int code = 0;
    try {
      const std::string wrong = work();
      if (!wrong.empty()) std::fprintf(stderr, "%s\n", wrong.c_str());
      code = wrong == "not permitted" ? kNotPermitted : wrong.empty() ? 0 : 1;
    } catch (const std::exception& error) {
      std::fprintf(stderr, "%s\n", error.what());
      code = 2;
    }
    _exit(code);
  }
  int status = 0;
  waitpid(child, &status, 0);
  return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

/// Mounts that only this process sees. @return whether the system lets it
bool private_mounts() {
  if (unshare(CLONE_NEWNS) != 0 && unshare(CLONE_NEWUSER | CLONE_NEWNS) != 0) return false;
  return mount("none", "/", nullptr, MS_REC | MS_PRIVATE, nullptr) == 0;
}

bool make_read_only(const fs::path& folder) {
  return private_mounts() && mount(folder.c_str(), folder.c_str(), nullptr, MS_BIND, nullptr) == 0 &&
         mount("none", folder.c_str(), nullptr, MS_REMOUNT | MS_BIND | MS_RDONLY, nullptr) == 0;
}

class BadCaptures : public ::testing::Test {
 protected:
  /// A capture whose writer never came to its end.
  void write_interrupted(int steps) {
    CaptureOptions options;
    options.level = CaptureOptions::Level::Summary;
    ASSERT_EQ(in_child([&] {
                CaptureWriter writer(file_, options);
                writer.begin_run(small_run(), small_sizes());
                for (int step = 0; step < steps; ++step) add_step(writer, step);
                writer.drain();
                _exit(0);
                return std::string();
              }),
              0);
  }
  test::TemporaryFolder folder_;
  fs::path file_ = folder_ / "run.ditcap";
};

TEST_F(BadCaptures, AReaderThatSleptGoesOnAndOneThatComputesWithoutEndDoesNot) {
  write_capture(file_, 2);
  CaptureSource source(file_, std::chrono::milliseconds(300));
  const auto count_to = [](sqlite::Database& database, const char* limit) {
    return database.integer(std::string("WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c WHERE x < ") + limit + ") SELECT count(*) FROM c");
  };
  const auto counted = source.read([&](sqlite::Database& database) {
    std::this_thread::sleep_for(std::chrono::milliseconds(400));  // a laptop that was closed, Ctrl-Z
    return count_to(database, "50000");
  });
  EXPECT_EQ(counted, 50000);
  try {
    source.read([&](sqlite::Database& database) { return count_to(database, "1000000000000"); });
    ADD_FAILURE() << "it counted to the end";
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::Corrupt) << error.what();
    EXPECT_NE(std::string(error.what()).find(file_.filename().string()), std::string::npos) << error.what();
  }
}

TEST_F(BadCaptures, CutOffAnywhereAreTold) {
  write_capture(file_, 2);
  const auto size = fs::file_size(file_);
  for (const std::uintmax_t left : {std::uintmax_t{0}, std::uintmax_t{99}, std::uintmax_t{100}, std::uintmax_t{4096}, size / 2, size - 1}) {
    const fs::path cut = folder_ / "cut.ditcap";
    fs::copy_file(file_, cut, fs::copy_options::overwrite_existing);
    fs::resize_file(cut, left);
    EXPECT_EQ(message(cut).rfind("corrupt: " + cut.string() + " is no capture that can be read", 0), 0u) << left << ": " << message(cut);
  }
  fs::resize_file(file_, 0);
  EXPECT_NE(message(file_).find("it is empty"), std::string::npos);
}

TEST_F(BadCaptures, ALogCutOffAnywhereLeavesCompleteSteps) {
  write_interrupted(4);
  const fs::path log = file_.string() + "-wal";
  ASSERT_TRUE(fs::exists(log));
  const auto size = fs::file_size(log);
  std::size_t before = 5;
  for (const int part : {64, 60, 40, 20, 1, 0}) {
    const fs::path copy = folder_ / ("cut" + std::to_string(part) + ".ditcap");
    fs::copy_file(file_, copy);
    fs::copy_file(log, copy.string() + "-wal");
    fs::resize_file(copy.string() + "-wal", size * static_cast<std::uintmax_t>(part) / 64);
    const CaptureReader reader(copy);
    const std::size_t steps = reader.runs().empty() ? 0 : reader.steps(1).size();
    EXPECT_LE(steps, std::min<std::size_t>(before, 4)) << part;
    EXPECT_EQ(reader.calls(1).size(), steps * kLayers * 2) << part;
    EXPECT_EQ(reader.meta().state.rfind("interrupted", 0), 0u) << reader.meta().state;
    before = steps;
  }
}

TEST_F(BadCaptures, LockedByAnotherProcessSaySo) {
  write_capture(file_, 2);
  int ready[2], done[2];
  ASSERT_EQ(pipe(ready) + pipe(done), 0);
  const pid_t child = fork();
  if (child == 0) {
    sqlite::Database other(file_, sqlite::Database::Mode::ReadWrite);
    other.execute("BEGIN EXCLUSIVE");
    char byte = 0;
    if (write(ready[1], &byte, 1) == 1 && read(done[0], &byte, 1) == 1) _exit(0);
    _exit(1);
  }
  char byte = 0;
  ASSERT_EQ(read(ready[0], &byte, 1), 1);
  EXPECT_NE(message(file_).find("is locked by another program that writes into it; try again"), std::string::npos) << message(file_);
  ASSERT_EQ(write(done[1], &byte, 1), 1);
  waitpid(child, nullptr, 0);
  EXPECT_EQ(message(file_), "opened");
}

TEST_F(BadCaptures, InAReadOnlyFolderAreReadAndTakeNoBookmarks) {
  write_capture(file_, 3);
  const int code = in_child([&]() -> std::string {
    if (!make_read_only(folder_.path())) return "not permitted";
    const CaptureReader reader(file_);
    read_all(reader);
    if (reader.steps(1).size() != 3) return "expected 3 steps";
    try {
      add_bookmark(file_, {0, "Here", "", "", "{}", 1, 0, 0, 0, 0});
    } catch (const Error& error) {
      return std::string(error.what()).find("cannot be written to") != std::string::npos ? "" : error.what();
    }
    return "a bookmark was added";
  });
  if (code == kNotPermitted) GTEST_SKIP() << "mounts are not permitted here";
  EXPECT_EQ(code, 0);
}

TEST_F(BadCaptures, LeftInWalModeOnReadOnlyMediaAreRead) {
  write_capture(file_, 3);
  {  // as the end of a run leaves it that somebody was reading
    const CaptureReader reader(file_);
    sqlite::Database(file_, sqlite::Database::Mode::ReadWrite).text("PRAGMA journal_mode = WAL");
  }
  for (const char* suffix : {"-wal", "-shm"}) fs::remove(file_.string() + suffix);
  const int code = in_child([&]() -> std::string {
    if (!make_read_only(folder_.path())) return "not permitted";
    const CaptureReader reader(file_);
    read_all(reader);
    return reader.steps(1).size() == 3 ? "" : "expected 3 steps";
  });
  if (code == kNotPermitted) GTEST_SKIP() << "mounts are not permitted here";
  EXPECT_EQ(code, 0);
}

TEST_F(BadCaptures, InterruptedOnReadOnlyMediaAreReadUpToTheirLastStep) {
  write_interrupted(3);
  fs::remove(file_.string() + "-shm");
  const int code = in_child([&]() -> std::string {
    if (!make_read_only(folder_.path())) return "not permitted";
    const CaptureReader reader(file_);
    read_all(reader);
    return reader.steps(1).size() == 3 && reader.meta().state == "interrupted: complete up to step 2" ? "" : reader.meta().state;
  });
  if (code == kNotPermitted) GTEST_SKIP() << "mounts are not permitted here";
  EXPECT_EQ(code, 0);
}

TEST_F(BadCaptures, OnADiskThatFillsUpKeepTheirCompleteSteps) {
  for (const bool suddenly : {false, true}) {
    const int code = in_child([&]() -> std::string {
      if (!private_mounts() || mount("tmpfs", folder_.path().c_str(), "tmpfs", 0, "size=68m") != 0) return "not permitted";
      CaptureOptions options;
      options.level = CaptureOptions::Level::Summary;
      CaptureWriter writer(file_, options);
      writer.begin_run(small_run(), small_sizes());
      int step = 0;
      for (; step < 2000 && writer.totals().capturing; ++step) {
        add_step(writer, step);
        writer.drain();
        if (suddenly && step == 5) {  // not a byte is left
          std::ofstream filler(folder_ / "filler", std::ios::binary);
          const std::string block(1 << 16, 'x');
          while (filler.write(block.data(), static_cast<std::streamsize>(block.size())).flush()) {
          }
        }
      }
      const CaptureTotals totals = writer.totals();
      if (totals.capturing || totals.message.find("disk is nearly full") == std::string::npos) return "expected the writer to stop: " + totals.message;
      if (message(file_) != "opened") return "while the writer lives: " + message(file_);
      writer.close();
      const CaptureReader reader(file_);
      read_all(reader);
      const std::string state = reader.meta().state;
      if (static_cast<int>(reader.steps(1).size()) != totals.steps || totals.steps < 5) return "expected the complete steps";
      const bool named = state.rfind("stopped: the disk is nearly full", 0) == 0 || state == "interrupted: complete up to step " + std::to_string(totals.steps - 1);
      return named ? "" : state;
    });
    if (code == kNotPermitted) GTEST_SKIP() << "mounts are not permitted here";
    EXPECT_EQ(code, 0) << suddenly;
  }
}

TEST_F(BadCaptures, HugeFilesOpenAtOnce) {
  write_capture(file_, 3);
  fs::resize_file(file_, std::uintmax_t{6} << 30);
  const auto start = std::chrono::steady_clock::now();
  const CaptureReader reader(file_);
  read_all(reader);
  EXPECT_EQ(reader.steps(1).size(), 3u);
  EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::seconds(5));
  EXPECT_EQ(reader.meta().file_bytes, std::int64_t{6} << 30);
}

TEST_F(BadCaptures, HundredThousandStepsAreListed) {
  write_capture(file_, 1);
  sqlite::Database(file_, sqlite::Database::Mode::ReadWrite)
      .execute("WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 99999) INSERT INTO steps "
               "SELECT run_id, i, timestep, sigma, guidance_scale, action, step_ms, attention_ms, capture_ms, shadow_ms, kept_ratio_requested, "
               "kept_ratio, state_bytes, latent_error_ratio, 0 FROM n, steps WHERE step = 0");
  const CaptureReader reader(file_);
  EXPECT_EQ(reader.steps(1).size(), 100000u);
}

TEST_F(BadCaptures, OfOneTokenAndOfNoTextAreCaptures) {
  for (const int text : {0, 1}) {
    CaptureOptions options;
    options.level = CaptureOptions::Level::Full;
    CaptureWriter writer(file_, options);
    CaptureRun run = small_run();
    run.text_tokens = text;
    run.grid_frames = run.grid_rows = run.grid_columns = 1;
    run.words = "[]";
    writer.begin_run(run, small_sizes());
    CaptureTensor map = array("map", 0, {kHeads, 1 + text, 1 + text}, 0.5F, "|u1", "log2", "up");
    map.layer = map.branch = 0;
    writer.add(map);
    CaptureCall call;
    call.heads.resize(kHeads);
    for (int head = 0; head < kHeads; ++head) call.heads[static_cast<std::size_t>(head)].head = head;
    writer.add(call);
    writer.end_step({});
    writer.close();
    const CaptureReader reader(file_);
    read_all(reader);
    EXPECT_EQ(reader.run(1).tokens(), 1 + text);
    EXPECT_EQ(map_edges(text, true, 1 + text, 64).size(), 2u + static_cast<std::size_t>(text));
    EXPECT_EQ(reader.token_order(reader.run(1)).size(), 1u + static_cast<std::size_t>(text));
  }
}

TEST_F(BadCaptures, WithoutOneFiniteNumberComeBackAsTheyAre) {
  const float nan = std::nanf(""), infinity = INFINITY;
  CaptureOptions options;
  options.level = CaptureOptions::Level::Full;
  CaptureWriter writer(file_, options);
  CaptureRun run = small_run();
  run.guidance_scale = infinity, run.fps = -INFINITY;
  run.total_ms = NAN;
  writer.begin_run(run, small_sizes());
  for (const auto& [kind, dtype, encoding] : {std::tuple{"map", "|u1", "log2"}, {"lse_full", "<u2", "linear"}, {"log_rho", "<f2", "plain"}, {"q", "<u2", "bf16"}, {"k", "<f4", "plain"}}) {
    CaptureTensor t = array(kind, 0, {kHeads, 4}, 0, dtype, encoding);
    t.layer = t.branch = 0;
    t.values.assign(t.values.size(), nan);
    t.values[1] = infinity, t.values[2] = -infinity;
    writer.add(t);
  }
  CaptureCall call;
  call.execute_ms = infinity;
  call.heads.resize(1);
  call.heads[0].recall = NAN, call.heads[0].error_ratio = infinity, call.heads[0].lse_mean = -infinity, call.heads[0].nonfinite_count = 99;
  writer.add(call);
  CaptureStep step;
  step.timestep = infinity, step.step_ms = NAN, step.latent_error_ratio = -infinity;
  writer.end_step(step);
  run.run_id = 1;
  writer.end_run(run);
  writer.close();
  EXPECT_TRUE(writer.totals().message.empty()) << writer.totals().message;
  const CaptureReader reader(file_);
  read_all(reader);
  EXPECT_FALSE(reader.run(1).total_ms);
  EXPECT_EQ(reader.steps(1).at(0).latent_error_ratio, -INFINITY);
  const CaptureHead head = reader.calls(1).at(0).heads.at(0);
  EXPECT_FALSE(head.recall);
  EXPECT_EQ(head.error_ratio, INFINITY);
  EXPECT_EQ(head.nonfinite_count, 99);
  for (const char* kind : {"lse_full", "log_rho", "q", "k"}) {
    const auto values = reader.values(reader.get(1, {kind, {}, {}, {}}));
    EXPECT_TRUE(std::isnan(values[0])) << kind;
    EXPECT_EQ(values[1], infinity) << kind;
    EXPECT_EQ(values[2], -infinity) << kind;
  }
  const auto map = reader.values(reader.get(1, {"map", {}, {}, {}}));
  EXPECT_TRUE(std::isnan(map[0]));
  EXPECT_EQ(map[1], infinity);
}

}  // namespace
}  // namespace ditscope
