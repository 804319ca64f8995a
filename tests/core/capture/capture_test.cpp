// Captures without a model: what is written is read back; crashes, full budgets and damaged files.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <cmath>
#include <fstream>
#include <limits>
#include <thread>

#include "core/capture/bookmarks.h"
#include "core/capture/capture_reader.h"
#include "core/capture/capture_writer.h"
#include "core/capture/encoding.h"
#include "core/capture/sha256.h"
#include "core/history/sqlite.h"
#include "kernels/error.h"
#include "tests/core/capture/small_capture.h"
#include "tests/support/temporary_folder.h"

namespace ditscope {
namespace {

namespace fs = std::filesystem;

using namespace test;

TEST(Sha256, IsTheSameWithAndWithoutTheInstructionsOfTheProcessor) {
  std::vector<std::uint8_t> bytes(1000);
  std::uint32_t state = 1;
  for (std::uint8_t& byte : bytes) byte = static_cast<std::uint8_t>((state = state * 1664525 + 1013904223) >> 24);
  for (std::size_t size = 0; size <= bytes.size(); size += 37) {
    const std::span part(bytes.data(), size);
    EXPECT_EQ(Sha256::hex(Sha256(true).add(part.first(size / 3)).add(part.subspan(size / 3)).finish()), Sha256::hex(Sha256::of(part))) << size;
  }
}

TEST(Sha256, GivesTheDigestsOfTheStandard) {
  EXPECT_EQ(Sha256::hex(Sha256().finish()), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
  EXPECT_EQ(Sha256::hex(Sha256().add("abc").finish()), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  Sha256 pieces;
  for (int i = 0; i < 1000; ++i) pieces.add(std::string(1000, 'a'));
  EXPECT_EQ(Sha256::hex(pieces.finish()), "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
}

TEST(CaptureEncoding, HalfFloatsRoundLikeTheHardware) {
  for (int bits = 0; bits < 65536; ++bits) {
    const float value = half_value(static_cast<std::uint16_t>(bits));
    if (std::isnan(value)) continue;
    ASSERT_EQ(half_bits(value), bits) << value;
    const float next = half_value(static_cast<std::uint16_t>(bits + 1));
    if ((bits & 0x7fff) < 0x7bff) {
      const float middle = (value + next) / 2;  // a tie goes to the even one
      ASSERT_EQ(half_bits(middle), bits % 2 ? bits + 1 : bits);
    }
  }
  EXPECT_EQ(half_bits(1e9F), 0x7c00);
  EXPECT_EQ(half_bits(-1e-9F), 0x8000);
}

TEST(CaptureEncoding, MapsKeepFourPercentAndWhatIsNotFinite) {
  CaptureTensor t = array("map", 0, {8}, 0, "|u1", "log2");
  t.values = {0, 1, 0.3F, 1e-5F, 1e-12F, std::numeric_limits<float>::infinity(), std::nanf(""), 6e-8F};
  encode(t);
  const auto back = decode(t, t.bytes);
  EXPECT_EQ(back[0], 0);
  for (const std::size_t i : {1, 2, 3, 7}) EXPECT_NEAR(back[i] / t.values[i], 1, 0.036) << i;
  EXPECT_LT(back[4], 1e-7);
  EXPECT_TRUE(std::isinf(back[5]) && std::isnan(back[6]));
}

TEST(CaptureEncoding, LogSumExpsKeepAThousandthOfANat) {
  CaptureTensor t = array("lse_full", 0, {977}, -3, "<u2", "linear", "shuffle");
  t.values[5] = -std::numeric_limits<float>::infinity();
  encode(t);
  const auto back = decode(t, t.bytes);
  for (std::size_t i = 0; i < back.size(); ++i) {
    if (i == 5) continue;
    ASSERT_NEAR(back[i], t.values[i], 0.0005);
  }
  EXPECT_TRUE(std::isinf(back[5]) && back[5] < 0);
  CaptureTensor wide = array("lse_full", 0, {2}, 0, "<u2", "linear");
  wide.values = {-5000, 5000};
  encode(wide);
  EXPECT_NEAR(decode(wide, wide.bytes)[1], 5000, wide.scale);
}

TEST(CaptureEncoding, ChunksComeBackWhatTheFilterAndRefuseAnotherSize) {
  std::vector<std::uint8_t> bytes;
  for (int i = 0; i < 4096; ++i) bytes.push_back(static_cast<std::uint8_t>(i / 64 + i % 3));
  for (const char* filter : {"none", "up", "shuffle"}) {
    const StoredChunk chunk = pack_chunk(bytes, filter, filter == std::string("shuffle") ? 4 : 1, 64, true);
    EXPECT_EQ(chunk.codec, 1);
    const int width = filter == std::string("shuffle") ? 4 : 1;
    EXPECT_EQ(unpack_chunk(chunk, filter, width, 64, bytes.size()), bytes);
    EXPECT_THROW(unpack_chunk(chunk, filter, width, 64, bytes.size() - 4), Error);
    EXPECT_THROW(unpack_chunk(chunk, filter, width, 64, bytes.size() + 4), Error);
  }
}

TEST(CaptureMap, CellsRestartWhereTextMeetsVideo) {
  EXPECT_EQ(map_edges(11, true, 11 + 128, 64), (std::vector<std::int64_t>{0, 11, 75, 139}));
  EXPECT_EQ(map_edges(11, false, 11 + 128, 64), (std::vector<std::int64_t>{0, 64, 128, 139}));
  EXPECT_EQ(map_edges(0, true, 1, 64), (std::vector<std::int64_t>{0, 1}));
  EXPECT_EQ(map_block_tokens(226, true, 17776, 512), 64);
  EXPECT_EQ(map_block_tokens(226, true, 17776, 64), 512);
}

TEST(CapturePlans, CountKeptPairsOfCellsAsTheMaskHasThem) {
  const auto plan = small_plan();
  for (const auto& edges : {map_edges(11, true, kTokens, 64), map_edges(0, true, kTokens, 64)}) {
    const auto ratios = plan->kept_ratios(edges);
    const std::size_t cells = edges.size() - 1;
    for (std::size_t i = 0; i < cells; ++i) {
      for (std::size_t j = 0; j < cells; ++j) {
        double kept = 0;
        for (std::int64_t q = edges[i]; q < edges[i + 1]; ++q)
          for (std::int64_t k = edges[j]; k < edges[j + 1]; ++k) kept += plan->keeps_slots(q, k);
        ASSERT_NEAR(ratios[i * cells + j], kept / static_cast<double>((edges[i + 1] - edges[i]) * (edges[j + 1] - edges[j])), 1e-6);
      }
    }
  }
  EXPECT_EQ(plan->row(3)[64 + 4], 1);
  EXPECT_EQ(plan->row(3)[64 + 3], 0);
}

TEST(CapturePlans, OrdersLeadFromSlotsToTokens) {
  CapturePlan plan = *small_plan();
  for (std::uint32_t s = 0; s < kTokens; ++s) plan.q_order.push_back(kTokens - 1 - s), plan.k_order.push_back((s + 7) % kTokens);
  for (const std::int64_t query : {0, 70, kTokens - 1}) {
    const auto row = plan.row(query);
    for (std::int64_t key = 0; key < kTokens; ++key)
      ASSERT_EQ(row[static_cast<std::size_t>((key + 7) % kTokens)], plan.keeps_slots(kTokens - 1 - query, key));
  }
  const auto edges = map_edges(11, true, kTokens, 64);
  const auto ratios = plan.kept_ratios(edges);
  const std::size_t cells = edges.size() - 1;
  std::vector<double> kept(cells * cells, 0.0);
  for (std::size_t i = 0; i < cells; ++i) {
    for (std::int64_t query = edges[i]; query < edges[i + 1]; ++query) {
      const auto row = plan.row(query);
      for (std::size_t j = 0; j < cells; ++j) kept[i * cells + j] += static_cast<double>(std::count(row.begin() + edges[j], row.begin() + edges[j + 1], 1));
    }
    for (std::size_t j = 0; j < cells; ++j)
      EXPECT_NEAR(ratios[i * cells + j], kept[i * cells + j] / static_cast<double>((edges[i + 1] - edges[i]) * (edges[j + 1] - edges[j])), 1e-6);
  }
}

class Captures : public ::testing::Test {
 protected:
  test::TemporaryFolder folder_;
  fs::path file_ = folder_ / "run.ditcap";
};

TEST_F(Captures, ComeBackAsTheyWereWritten) {
  write_capture(file_, 4, 2);
  EXPECT_FALSE(fs::exists(file_.string() + "-wal")) << "one file when closed";
  const CaptureReader reader(file_);
  EXPECT_EQ(reader.meta().state, "complete");
  ASSERT_EQ(reader.runs().size(), 2u);
  const CaptureRun run = reader.run(1);
  EXPECT_EQ(run.seed, "18446744073709551615");
  EXPECT_EQ(run.tokens(), kTokens);
  EXPECT_EQ(run.branches, (std::vector<std::string>{"unconditional", "conditional"}));
  EXPECT_EQ(run.state, "complete");
  ASSERT_EQ(reader.steps(1).size(), 4u);
  EXPECT_EQ(reader.steps(1)[2].timestep, 997);
  EXPECT_EQ(reader.steps(2)[3].latent_error_ratio, 0) << "both runs wrote the same latents";

  const auto calls = reader.calls(1, 2);
  ASSERT_EQ(calls.size(), static_cast<std::size_t>(kLayers) * 2);
  ASSERT_EQ(calls[3].heads.size(), static_cast<std::size_t>(kHeads));
  EXPECT_NEAR(*calls[3].heads[2].recall, 0.7, 1e-12);
  EXPECT_FALSE(calls[3].heads[2].rho_used_mean) << "NaN is: not measured";
  EXPECT_EQ(calls[0].rows_sha256, Sha256::hex(Sha256::of(std::vector<std::uint8_t>{1, 2, 3})));
  EXPECT_EQ(reader.head_values(1, "recall").size(), 4u * kLayers * 2 * kHeads);
  EXPECT_THROW(reader.head_values(1, "recall; DROP TABLE heads"), Error);

  const auto plan = reader.plan(calls[0].heads[0].plan_id, run.tokens());
  EXPECT_EQ(plan->partial_bits, small_plan()->partial_bits);
  EXPECT_EQ(plan->block_bits, small_plan()->block_bits);
  EXPECT_EQ(plan->reasons, small_plan()->reasons);
  EXPECT_EQ(plan->reason(1, 2), KeepReason::Neighbour);
  EXPECT_TRUE(reader.plan(0, run.tokens())->dense());

  const auto latents = reader.get(1, {"latents", 3, {}, {}});
  EXPECT_EQ(reader.values(latents), array("latents", 3, {1, 2, 4, 8, 16}, 2).values);
  const auto map = reader.get(1, {"map", 3, 1, 1});
  EXPECT_EQ(reader.values(map, 1, 1).size(), 9u);
  EXPECT_THROW(reader.values(map, 2, 2), Error);
  try {
    reader.get(1, {"q", 3, 1, 1});
    FAIL();
  } catch (const Error& error) {
    EXPECT_NE(std::string(error.what()).find("map (8"), std::string::npos) << error.what();
  }
  EXPECT_THROW(reader.run(3), Error);
}

TEST_F(Captures, StoreEqualArraysAndMasksOnce) {
  write_capture(file_, 4, 1);
  const auto one = fs::file_size(file_);
  write_capture(folder_ / "two.ditcap", 4, 2);
  const CaptureReader reader(folder_ / "two.ditcap");
  EXPECT_EQ(reader.get(2, {"latents", 2, {}, {}}).data_id, reader.get(1, {"latents", 2, {}, {}}).data_id);
  EXPECT_EQ(reader.calls(2, 3)[0].heads[0].plan_id, 1);
  EXPECT_LT(fs::file_size(folder_ / "two.ditcap"), 2 * one);
}

TEST_F(Captures, AStoppedStepLeavesNoTrace) {
  CaptureOptions options;
  options.level = CaptureOptions::Level::Summary;
  CaptureWriter writer(file_, options);
  writer.begin_run(small_run(), small_sizes());
  CaptureTensor text = array("text_embedding", -1, {2, 4, 8}, 0);
  writer.add(text);
  writer.keep();
  add_step(writer, 0);
  CaptureCall call;
  call.step = 1;
  call.heads.resize(1);
  call.heads[0].plan = small_plan();
  writer.add(call);
  writer.abandon_step();
  add_step(writer, 1);
  writer.close("stopped: by the user");
  const CaptureReader reader(file_);
  EXPECT_EQ(reader.steps(1).size(), 2u);
  EXPECT_EQ(reader.calls(1).size(), 2u * kLayers * 2);
  EXPECT_TRUE(reader.find(1, {"text_embedding", {}, {}, {}}));
  EXPECT_EQ(reader.meta().state, "stopped: by the user");
}

TEST_F(Captures, ALiveReaderFollowsAndHoldsNobodyUp) {
  CaptureOptions options;
  options.level = CaptureOptions::Level::Summary;
  CaptureWriter writer(file_, options);
  writer.begin_run(small_run(), small_sizes());
  add_step(writer, 0);
  writer.drain();
  const CaptureReader reader(file_);
  EXPECT_EQ(reader.steps(1).size(), 1u);
  EXPECT_EQ(reader.meta().state, "recording");
  const auto before = reader.data_version();
  std::atomic<bool> done = false;
  std::thread follower([&] {
    const CaptureReader other(file_);
    while (!done) {
      const auto steps = other.steps(1).size();
      ASSERT_GE(other.calls(1).size(), steps * kLayers * 2);
    }
  });
  for (int step = 1; step < 40; ++step) add_step(writer, step);
  writer.drain();
  done = true;
  follower.join();
  EXPECT_NE(reader.data_version(), before);
  EXPECT_EQ(reader.steps(1).size(), 40u);
  writer.close();
  EXPECT_EQ(reader.steps(1).size(), 40u) << "also after the end";
}

TEST_F(Captures, AKilledWriterLeavesAllCompleteSteps) {
  for (int round = 0; round < 4; ++round) {
    int pipe_ends[2];
    ASSERT_EQ(pipe(pipe_ends), 0);
    const pid_t child = fork();
    if (child == 0) {
      CaptureOptions options;
      options.level = CaptureOptions::Level::Summary;
      CaptureWriter writer(file_, options);
      writer.begin_run(small_run(), small_sizes());
      for (int step = 0;; ++step) {
        add_step(writer, step);
        if (step % 3 == 2) writer.drain();
        const int complete = writer.totals().steps;
        if (write(pipe_ends[1], &complete, sizeof complete) != sizeof complete) _exit(1);
      }
    }
    close(pipe_ends[1]);
    int complete = 0;
    for (int seen = 0; seen < 20 + 17 * round; ++seen) ASSERT_EQ(read(pipe_ends[0], &complete, sizeof complete), static_cast<ssize_t>(sizeof complete));
    kill(child, SIGKILL);
    waitpid(child, nullptr, 0);
    close(pipe_ends[0]);
    const CaptureReader reader(file_);
    const auto steps = reader.steps(1);
    EXPECT_GE(static_cast<int>(steps.size()), complete) << "a step that was said to be complete is there";
    EXPECT_EQ(reader.calls(1).size(), steps.size() * kLayers * 2) << "and no half of one";
    const std::string state = "interrupted: complete up to step " + std::to_string(steps.back().step);
    EXPECT_EQ(reader.meta().state, state);
    EXPECT_EQ(reader.run(1).state, state);
    EXPECT_FALSE(reader.live());
    EXPECT_EQ(reader.values(reader.get(1, {"latents", steps.back().step + 1, {}, {}})).size(), 1024u);
    add_bookmark(file_, {0, "Where it ended", "", "", "{}", 1, steps.back().step, 0, 0, 0});
    EXPECT_EQ(reader.bookmarks(1).size(), 1u) << "nobody writes any more: the file takes bookmarks";
    EXPECT_EQ(CaptureReader(file_).steps(1).size(), steps.size());
  }
}

TEST_F(Captures, AWriterIsKnownToLiveFromAnyProcessUntilItCloses) {
  int pipe_ends[2];
  ASSERT_EQ(pipe(pipe_ends), 0);
  const pid_t child = fork();
  if (child == 0) {
    CaptureOptions options;
    options.level = CaptureOptions::Level::Summary;
    auto writer = std::make_unique<CaptureWriter>(file_, options);
    writer->begin_run(small_run(), small_sizes());
    for (int step = 0; step < 2; ++step) add_step(*writer, step);
    writer->drain();
    char go = 1;
    if (write(pipe_ends[1], &go, 1) != 1 || raise(SIGSTOP) != 0) _exit(1);
    writer.reset();  // as a program that ends without saying so
    _exit(0);
  }
  char go = 0;
  ASSERT_EQ(read(pipe_ends[0], &go, 1), 1);
  int status = 0;
  waitpid(child, &status, WUNTRACED);
  const CaptureReader reader(file_);
  EXPECT_EQ(reader.meta().state, "recording") << "a stopped process still lives";
  EXPECT_THROW(add_bookmark(file_, {0, "Here", "", "", "{}", 1, 0, 0, 0, 0}), Error);
  EXPECT_THROW(CaptureWriter(file_, {}), Error) << "nor does another run take the name";
  EXPECT_EQ(reader.run(1).state, "recording");
  kill(child, SIGCONT);
  waitpid(child, &status, 0);
  EXPECT_EQ(status, 0);
  EXPECT_EQ(reader.meta().state, "interrupted: complete up to step 1");
  EXPECT_NO_THROW(add_bookmark(file_, {0, "Here", "", "", "{}", 1, 0, 0, 0, 0}));
}

TEST_F(Captures, OpeningAFileAgainKeepsTheLocksOfTheFirst) {
  write_capture(file_, 2);
  sqlite::Database(file_, sqlite::Database::Mode::ReadWrite).text("PRAGMA journal_mode = WAL");
  const CaptureReader first(file_);
  EXPECT_EQ(first.steps(1).size(), 2u);
  { const CaptureReader second(file_); }
  // Another process that may have the file for itself takes it out of WAL mode, under the first reader.
  const pid_t child = fork();
  if (child == 0) {
    sqlite::Database other(file_, sqlite::Database::Mode::ReadWrite);
    bool refused = false;
    try {
      refused = other.text("PRAGMA journal_mode = DELETE") == "wal";
    } catch (const Error&) {
      refused = true;
    }
    _exit(refused ? 0 : 1);
  }
  int status = 0;
  waitpid(child, &status, 0);
  EXPECT_EQ(status, 0);
}

TEST_F(Captures, AFullDiskLeavesTheCompleteSteps) {
  const pid_t child = fork();
  if (child == 0) {
    signal(SIGXFSZ, SIG_IGN);
    const rlimit limit{1 << 20, 1 << 20};
    setrlimit(RLIMIT_FSIZE, &limit);
    CaptureOptions options;
    options.level = CaptureOptions::Level::Summary;
    CaptureWriter writer(file_, options);
    writer.begin_run(small_run(), small_sizes());
    int step = 0;
    for (; step < 400 && writer.totals().capturing; ++step) {
      add_step(writer, step);
      writer.drain();
    }
    const bool told = !writer.totals().capturing && !writer.totals().message.empty();
    writer.close();
    _exit(told && step > 3 && step < 400 ? 0 : 1);
  }
  int status = 0;
  waitpid(child, &status, 0);
  EXPECT_EQ(status, 0) << "the writer says that it stopped, and goes on taking what it is given";
  const CaptureReader reader(file_);
  const auto steps = reader.steps(1);
  EXPECT_GT(steps.size(), 3u);
  EXPECT_EQ(reader.calls(1).size(), steps.size() * kLayers * 2);
}

TEST_F(Captures, StayWithinTheirBudgetAndSayWhatIsMissing) {
  CaptureOptions options;
  options.level = CaptureOptions::Level::Full;
  options.budget_bytes = 1 << 20;
  CaptureSizes sizes = small_sizes();
  sizes.latent_bytes = 4096;
  CaptureWriter writer(file_, options);
  CaptureRun run = small_run();
  writer.begin_run(run, sizes);
  for (int step = 0; step < 4; ++step) {
    for (int i = 0; i < 8; ++i) {
      CaptureTensor noise = array("q", step, {3, 40, 400}, 0);
      for (std::size_t j = 0; j < noise.values.size(); ++j) noise.values[j] = static_cast<float>((j * 2654435761u) % 1000003u);
      noise.layer = i;
      writer.add(noise);
    }
    add_step(writer, step);
  }
  run.state = "complete";
  writer.end_run(run);
  writer.close();
  EXPECT_LE(fs::file_size(file_), static_cast<std::uintmax_t>(options.budget_bytes));
  const CaptureReader reader(file_);
  EXPECT_EQ(reader.steps(1).size(), 4u) << "latents and scalars are always kept";
  ASSERT_FALSE(reader.gaps().empty());
  EXPECT_EQ(reader.gaps()[0].kind, "q");
  EXPECT_EQ(reader.gaps()[0].reason, "budget");
  EXPECT_EQ(reader.gaps().size() + reader.arrays(1, {"q", {}, {}, {}}).size(), 32u);
  EXPECT_EQ(writer.totals().gaps, static_cast<int>(reader.gaps().size()));
}

TEST_F(Captures, ABudgetForNothingStopsTheCaptureNotTheRun) {
  CaptureOptions options;
  options.level = CaptureOptions::Level::Summary;
  options.budget_bytes = 160 << 10;
  CaptureWriter writer(file_, options);
  writer.begin_run(small_run(), small_sizes());
  for (int step = 0; step < 60; ++step) add_step(writer, step);
  writer.close();
  EXPECT_FALSE(writer.totals().capturing);
  EXPECT_LE(fs::file_size(file_), 160u << 10);
  const CaptureReader reader(file_);
  EXPECT_NE(reader.meta().state.find("budget"), std::string::npos) << reader.meta().state;
  EXPECT_EQ(reader.calls(1).size(), reader.steps(1).size() * kLayers * 2);
}

TEST_F(Captures, AreRefusedWithTheReason) {
  const auto message = [&](const fs::path& path) {
    try {
      const CaptureReader reader(path);
      return std::string("opened");
    } catch (const Error& error) {
      return std::string(error_kind_name(error.kind())) + ": " + error.what();
    }
  };
  EXPECT_EQ(message(folder_ / "none.ditcap").rfind("not found", 0), 0u);
  std::ofstream(folder_ / "empty.ditcap");
  EXPECT_EQ(message(folder_ / "empty.ditcap").rfind("corrupt", 0), 0u);
  std::ofstream(folder_ / "text.ditcap") << std::string(5000, 'x');
  EXPECT_NE(message(folder_ / "text.ditcap").find("no SQLite database"), std::string::npos);
  EXPECT_EQ(message(folder_.path()).rfind("corrupt", 0), 0u);
  write_capture(file_, 2);
  {
    std::fstream stream(file_, std::ios::in | std::ios::out | std::ios::binary);
    stream.seekp(60);
    stream.write("\0\0\x0b\xb8", 4);  // user_version 3000
  }
  EXPECT_NE(message(file_).find("written by ditscope"), std::string::npos) << message(file_);
  EXPECT_THROW(CaptureWriter("/proc/nowhere/x.ditcap", {}), Error);
}

TEST_F(Captures, ViewsAndComputedColumnsAreRefused) {
  write_capture(file_, 2);
  for (const char* trap : {"CREATE VIEW steps AS SELECT 1 AS run_id",
                           "CREATE TABLE steps(run_id INTEGER, step INTEGER, blob GENERATED ALWAYS AS (zeroblob(1000000000)) VIRTUAL)",
                           "CREATE TRIGGER trap AFTER INSERT ON meta BEGIN SELECT 1; END"}) {
    write_capture(file_, 2);
    sqlite::Database(file_, sqlite::Database::Mode::ReadWrite).execute(std::string("DROP TABLE steps; ") + trap);
    EXPECT_THROW(CaptureReader reader(file_), Error) << trap;
  }
}

}  // namespace
}  // namespace ditscope
