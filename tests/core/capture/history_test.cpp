#include "core/history/history.h"

#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <fstream>
#include <functional>
#include <set>
#include <thread>

#include "core/history/history_file.h"
#include "core/history/sqlite.h"
#include "core/metrics/psnr.h"
#include "kernels/error.h"
#include "tests/core/media/pictures.h"
#include "tests/support/temporary_folder.h"

namespace ditscope {
namespace {

using test::TemporaryFolder;
using test::waves;

Request request_of(const std::string& prompt, const std::string& method, std::uint64_t seed) {
  Request request;
  request.prompt = prompt;
  request.negative_prompt = "blurry";
  request.method.key = method;
  if (method != "full") request.method.parameters["kept_ratio"] = 0.125;
  request.steps = 12;
  request.seed = seed;
  request.frames = 5;
  request.height = 48;
  request.width = 64;
  return request;
}

HistoryEntry entry_of(std::int64_t id, const std::string& prompt, std::uint64_t seed, std::int64_t finished_ms) {
  HistoryEntry entry;
  entry.id = id;
  entry.finished_ms = finished_ms;
  for (const char* method : {"full", "re-ttention"}) {
    HistoryRun run;
    run.request = request_of(prompt, method, seed);
    run.seconds = 4.5;
    run.attention_seconds = 1.25;
    run.stages = {{"text", 0.1}, {"denoise", 4.0}};
    run.kept_ratio = {0.125, 0.13, 0.4};
    run.peak_bytes = 123456789012;
    run.method_bytes = 77;
    run.noise_hash = "0123456789abcdef";
    for (int i = 0; i < 3; ++i) {
      run.steps.push_back({i, 999.0 - i, i ? StepRecord::Kind::Sparse : StepRecord::Kind::Refresh, 0.5, 0.25, 0.125, 0.13});
    }
    entry.runs.push_back(run);
  }
  entry.runs[1].psnr_db = 31.25;
  entry.runs[1].ssim = 0.93;
  return entry;
}

ErrorKind kind_of(const std::function<void()>& call) {
  try {
    call();
  } catch (const Error& error) {
    return error.kind();
  }
  return ErrorKind::Cancelled;
}

TEST(History, AnEntryComesBackWholeAfterARestart) {
  const TemporaryFolder folder;
  const Frames a = waves(5, 48, 64), b = waves(5, 48, 64);
  HistoryEntry entry;
  {
    History history(folder.path());
    entry = entry_of(history.next_id(), "ein roter Würfel \"springt\"", 18446744073709551615u, 1700000000123);
    entry.runs[1].status = HistoryRun::Status::Stopped;
    entry.runs[1].message = "stopped at step 3";
    entry.runs[1].outputs = {folder / "saved.mp4"};
    history.save(entry, {&a, &b});
    EXPECT_EQ(history.notice(), "");
  }
  History history(folder.path());
  const HistoryEntry back = history.load(entry.id);
  EXPECT_EQ(back.finished_ms, 1700000000123);
  ASSERT_EQ(back.runs.size(), 2u);
  for (int i = 0; i < 2; ++i) {
    const HistoryRun &was = entry.runs[i], &is = back.runs[i];
    EXPECT_EQ(to_json(is.request), to_json(was.request));
    EXPECT_EQ(is.status, was.status);
    EXPECT_EQ(is.message, was.message);
    EXPECT_EQ(is.seconds, was.seconds);
    EXPECT_EQ(is.attention_seconds, was.attention_seconds);
    EXPECT_EQ(is.stages, was.stages);
    EXPECT_EQ(is.psnr_db, was.psnr_db);
    EXPECT_EQ(is.ssim, was.ssim);
    EXPECT_EQ(is.kept_ratio.achieved, was.kept_ratio.achieved);
    EXPECT_EQ(is.kept_ratio.schedule_average, was.kept_ratio.schedule_average);
    EXPECT_EQ(is.peak_bytes, was.peak_bytes);
    EXPECT_EQ(is.method_bytes, was.method_bytes);
    EXPECT_EQ(is.noise_hash, was.noise_hash);
    EXPECT_EQ(is.outputs, was.outputs);
    ASSERT_EQ(is.steps.size(), 3u);
    EXPECT_EQ(is.steps[0].kind, StepRecord::Kind::Refresh);
    EXPECT_EQ(is.steps[2].kind, StepRecord::Kind::Sparse);
    EXPECT_EQ(is.steps[2].timestep, 997.0);
    EXPECT_EQ(is.steps[2].kept_ratio_achieved, 0.13);
    EXPECT_GT(psnr(History::load_frames(is), a).min_db, 38.0);
  }
  EXPECT_EQ(std::string(back.thumbnail_png.begin() + 1, back.thumbnail_png.begin() + 4), "PNG");
}

TEST(History, OddSizesComeBackWithoutTheEncodersPadding) {
  const TemporaryFolder folder;
  History history(folder.path());
  HistoryEntry entry = entry_of(1, "odd", 1, 1);
  entry.runs[0].request.height = 33;
  entry.runs[0].request.width = 47;
  const Frames odd = waves(3, 33, 47);
  history.save(entry, {&odd});
  const Frames back = History::load_frames(history.load(1).runs[0]);
  EXPECT_EQ(back.width, 47);
  EXPECT_EQ(back.height, 33);
  EXPECT_GT(psnr(back, odd).mean_db, 36.0);
}

TEST(History, ARunWithoutFramesHasNoVideoAndSaysSo) {
  const TemporaryFolder folder;
  History history(folder.path());
  HistoryEntry entry = entry_of(1, "failed", 1, 1);
  entry.runs[0].status = HistoryRun::Status::Failed;
  history.save(entry, {nullptr});
  EXPECT_TRUE(history.load(1).runs[0].video.empty());
  EXPECT_EQ(kind_of([&] { History::load_frames(history.load(1).runs[0]); }), ErrorKind::NotFound);
}

TEST(History, AVideoThatSomebodyDeletedIsNotFoundWhileTheEntryStays) {
  const TemporaryFolder folder;
  History history(folder.path());
  const Frames video = waves(2, 48, 64);
  history.save(entry_of(1, "x", 1, 1), {&video});
  std::filesystem::remove(history.load(1).runs[0].video);
  EXPECT_EQ(kind_of([&] { History::load_frames(history.load(1).runs[0]); }), ErrorKind::NotFound);
  EXPECT_EQ(history.find().size(), 1u);
}

TEST(History, FindsByPromptMethodAndSeedNewestFirst) {
  const TemporaryFolder folder;
  History history(folder.path());
  history.save(entry_of(1, "A red CUBE, 100% shiny", 7, 1000));
  history.save(entry_of(2, "a blue sphere_x", 7, 3000));
  HistoryEntry window = entry_of(3, "a red cone", 8, 2000);
  window.runs[1].request.method.key = "window";
  history.save(window);
  const auto ids = [&](const HistoryFilter& filter) {
    std::vector<std::int64_t> found;
    for (const auto& entry : history.find(filter)) found.push_back(entry.id);
    return found;
  };
  using Ids = std::vector<std::int64_t>;
  EXPECT_EQ(ids({}), (Ids{2, 3, 1}));
  EXPECT_EQ(ids({.text = "red", .method = {}, .seed = {}}), (Ids{3, 1}));
  EXPECT_EQ(ids({.text = "cube", .method = {}, .seed = {}}), (Ids{1}));
  EXPECT_EQ(ids({.text = "%", .method = {}, .seed = {}}), (Ids{1})) << "a per cent sign is no wildcard";
  EXPECT_EQ(ids({.text = "e_x", .method = {}, .seed = {}}), (Ids{2}));
  EXPECT_EQ(ids({.text = "'; DROP TABLE runs; --", .method = {}, .seed = {}}), (Ids{}));
  EXPECT_EQ(ids({.text = {}, .method = "window", .seed = {}}), (Ids{3}));
  EXPECT_EQ(ids({.text = {}, .method = "full", .seed = 7}), (Ids{2, 1}));
  EXPECT_EQ(ids({.text = {}, .method = {}, .seed = 18446744073709551615u}), (Ids{}));
  EXPECT_EQ(ids({.text = {}, .method = {}, .seed = {}, .limit = 1, .offset = 1}), (Ids{3}));
}

TEST(History, SavingAgainReplacesTheEntryAndKeepsItsVideo) {
  const TemporaryFolder folder;
  History history(folder.path());
  const Frames video = waves(2, 48, 64);
  history.save(entry_of(4, "first", 1, 1), {&video, &video});
  HistoryEntry again = history.load(4);
  again.runs[0].request.prompt = "second";
  history.save(again);
  ASSERT_EQ(history.find().size(), 1u);
  EXPECT_EQ(history.load(4).runs[0].request.prompt, "second");
  EXPECT_EQ(History::load_frames(history.load(4).runs[1]).count, 2);
  EXPECT_EQ(history.load(4).thumbnail_png, again.thumbnail_png);
}

TEST(History, RemovingAnEntryRemovesItsVideosAndNothingElse) {
  const TemporaryFolder folder;
  History history(folder.path());
  const Frames video = waves(2, 48, 64);
  history.save(entry_of(1, "one", 1, 1), {&video, &video});
  history.save(entry_of(2, "two", 1, 2), {&video});
  std::ofstream(folder / "saved.mp4") << "the user's";
  history.add_output(1, 0, folder / "saved.mp4");
  history.add_output(1, 0, folder / "saved.mp4");
  EXPECT_EQ(history.load(1).runs[0].outputs.size(), 1u);
  const auto gone = history.load(1).runs[1].video;
  ASSERT_TRUE(std::filesystem::exists(gone));
  history.remove(1);
  history.remove(99);
  EXPECT_FALSE(std::filesystem::exists(gone));
  EXPECT_TRUE(std::filesystem::exists(folder / "saved.mp4"));
  EXPECT_EQ(kind_of([&] { history.load(1); }), ErrorKind::NotFound);
  EXPECT_EQ(kind_of([&] { history.add_output(1, 0, "x"); }), ErrorKind::NotFound);
  EXPECT_EQ(History::load_frames(history.load(2).runs[0]).count, 2);
}

TEST(History, RefusesAnEntryWithoutNumberOrRuns) {
  const TemporaryFolder folder;
  History history(folder.path());
  EXPECT_EQ(kind_of([&] { history.save(entry_of(0, "x", 1, 1)); }), ErrorKind::InvalidArgument);
  EXPECT_EQ(kind_of([&] { history.save(HistoryEntry{1, 1, {}, {}}); }), ErrorKind::InvalidArgument);
}

TEST(History, TheQueueSurvivesARestartInItsOrder) {
  const TemporaryFolder folder;
  {
    History history(folder.path());
    history.save_queue({{1, {request_of("one", "full", 1)}}, {2, {request_of("two", "full", 2), request_of("two", "window", 2)}}});
    history.save_queue({{2, {request_of("two", "full", 2), request_of("two", "window", 2)}}, {3, {request_of("three", "full", 3)}}});
  }
  History history(folder.path());
  const auto jobs = history.load_queue();
  ASSERT_EQ(jobs.size(), 2u);
  EXPECT_EQ(jobs[0].id, 2);
  ASSERT_EQ(jobs[0].requests.size(), 2u);
  EXPECT_EQ(to_json(jobs[0].requests[1]), to_json(request_of("two", "window", 2)));
  EXPECT_EQ(jobs[1].requests[0].prompt, "three");
}

TEST(History, NumbersAreNeverGivenTwiceAcrossConnectionsAndThreads) {
  const TemporaryFolder folder;  // the four also race to begin the database
  std::vector<std::int64_t> taken[4];
  {
    std::vector<std::jthread> threads;
    for (auto& numbers : taken) {
      threads.emplace_back([&numbers, &folder] {
        History own(folder.path());
        for (int i = 0; i < 20; ++i) {
          numbers.push_back(own.next_id());
          own.save(entry_of(numbers.back(), "thread", 1, i + 1));
        }
      });
    }
  }
  std::set<std::int64_t> all;
  for (const auto& numbers : taken) all.insert(numbers.begin(), numbers.end());
  EXPECT_EQ(all.size(), 80u);
  EXPECT_EQ(History(folder.path()).find().size(), 80u);
}

TEST(History, ADamagedDatabaseIsMovedAsideAndItsVideosKeepTheirNames) {
  for (const bool rubbish : {true, false}) {
    const TemporaryFolder folder;
    const Frames video = waves(2, 48, 64);
    {
      History history(folder.path());
      for (int id = 1; id <= 40; ++id) history.save(entry_of(id, std::string(500, 'p'), 1, id), id == 40 ? std::vector{&video} : std::vector<const Frames*>{});
    }
    if (rubbish) {
      std::ofstream(folder / "history.db", std::ios::binary | std::ios::trunc) << std::string(5000, 'x');
    } else {
      std::fstream file(folder / "history.db", std::ios::binary | std::ios::in | std::ios::out);
      file.seekp(3 * 4096);
      file << std::string(6 * 4096, '\x5A');
    }
    History history(folder.path());
    EXPECT_NE(history.notice().find("moved to"), std::string::npos);
    EXPECT_TRUE(history.find().empty());
    int aside = 0;
    for (const auto& file : std::filesystem::directory_iterator(folder.path())) {
      aside += file.path().filename().string().starts_with("history-damaged-") && file.path().extension() == ".db";
    }
    EXPECT_EQ(aside, 1);
    EXPECT_GT(history.next_id(), 40) << "a new entry would overwrite the old video";
    EXPECT_EQ(History(folder.path()).notice(), "") << "the notice is given once";
  }
}

TEST(History, AnotherProgramsDatabaseIsNotTouched) {
  const TemporaryFolder folder;
  sqlite::Database(folder / "history.db", sqlite::Database::Mode::ReadWrite).execute("CREATE TABLE mine (x); INSERT INTO mine VALUES (1)");
  History history(folder.path());
  EXPECT_NE(history.notice().find("another program"), std::string::npos);
  for (const auto& file : std::filesystem::directory_iterator(folder.path())) {
    if (!file.path().filename().string().starts_with("history-damaged-")) continue;
    EXPECT_EQ(sqlite::Database(file.path(), sqlite::Database::Mode::ReadOnly).integer("SELECT x FROM mine"), 1);
    return;
  }
  FAIL() << "it was not moved aside";
}

TEST(History, ANewerSchemaOpensReadOnlyWithAClearError) {
  const TemporaryFolder folder;
  {
    History history(folder.path());
    history.save(entry_of(1, "old", 1, 1));
  }
  sqlite::Database(folder / "history.db", sqlite::Database::Mode::ReadWrite)
      .execute("PRAGMA user_version = " + std::to_string(kHistorySchema + 1) + "; ALTER TABLE runs ADD COLUMN novelty TEXT");
  History history(folder.path());
  EXPECT_TRUE(history.read_only());
  EXPECT_NE(history.notice().find("newer version"), std::string::npos);
  EXPECT_EQ(history.find().size(), 1u);
  EXPECT_EQ(kind_of([&] { history.save(entry_of(2, "new", 1, 1)); }), ErrorKind::Unsupported);
  EXPECT_EQ(kind_of([&] { history.remove(1); }), ErrorKind::Unsupported);
  EXPECT_EQ(kind_of([&] { history.save_queue({}); }), ErrorKind::Unsupported);
  EXPECT_EQ(kind_of([&] { history.next_id(); }), ErrorKind::Unsupported);
}

TEST(History, AFolderThatCannotBeMadeIsADeviceError) {
  const TemporaryFolder folder;
  std::ofstream(folder / "file") << "not a folder";
  EXPECT_EQ(kind_of([&] { History(folder / "file" / "data"); }), ErrorKind::Device);
}

TEST(History, AStoredVideoNameCannotPointOutsideItsFolder) {
  const TemporaryFolder folder;
  const Frames video = waves(1, 48, 64);
  {
    History history(folder.path());
    history.save(entry_of(1, "x", 1, 1), {&video});
  }
  sqlite::Database(folder / "history.db", sqlite::Database::Mode::ReadWrite).execute("UPDATE runs SET video = '../../etc/passwd'");
  EXPECT_EQ(History(folder.path()).load(1).runs[0].video, folder / "runs" / "passwd");
}

TEST(History, BrokenJsonInARowIsCorruptNotACrash) {
  const TemporaryFolder folder;
  {
    History history(folder.path());
    history.save(entry_of(1, "x", 1, 1));
  }
  for (const char* column : {"request", "results", "steps"}) {
    sqlite::Database(folder / "history.db", sqlite::Database::Mode::ReadWrite).execute(std::string("UPDATE runs SET ") + column + " = '{\"a\":'");
    EXPECT_EQ(kind_of([&] { History(folder.path()).load(1); }), ErrorKind::Corrupt) << column;
  }
}

TEST(History, OneUnreadableEntryDoesNotHideTheOthers) {
  const TemporaryFolder folder;
  History history(folder.path());
  history.save(entry_of(1, "x", 1, 1));
  history.save(entry_of(2, "y", 1, 2));
  sqlite::Database(folder / "history.db", sqlite::Database::Mode::ReadWrite).execute("UPDATE runs SET request = '{' WHERE entry = 1");
  const auto entries = history.find();
  ASSERT_EQ(entries.size(), 2u);
  EXPECT_EQ(entries[0].runs[0].request.prompt, "y");
  EXPECT_EQ(entries[1].runs[0].status, HistoryRun::Status::Failed);
  EXPECT_NE(entries[1].runs[0].message, "");
}

TEST(History, AProcessKilledWhileItSavesLeavesAWholeHistory) {
  for (const int microseconds : {30000, 90000}) {
    const TemporaryFolder folder;
    { History(folder.path()).save(entry_of(1, "before", 1, 1)); }
    const pid_t child = ::fork();
    if (child == 0) {
      try {
        History history(folder.path());
        const Frames video = waves(2, 48, 64);
        for (int id = 2;; ++id) history.save(entry_of(id, "during", 1, id), {&video});
      } catch (...) {
      }
      ::_exit(0);
    }
    ::usleep(static_cast<useconds_t>(microseconds));
    ::kill(child, SIGKILL);
    int status = 0;
    ::waitpid(child, &status, 0);
    ASSERT_TRUE(WIFSIGNALED(status));
    History history(folder.path());
    EXPECT_EQ(history.notice(), "");
    const auto entries = history.find();
    ASSERT_GE(entries.size(), 1u);
    for (const auto& entry : entries) {
      if (entry.id == 1) continue;
      EXPECT_EQ(History::load_frames(entry.runs[0]).count, 2) << "an entry names a video that is not whole";
    }
  }
}

}  // namespace
}  // namespace ditscope
