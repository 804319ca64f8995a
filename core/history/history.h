#pragma once
#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "core/media/frames.h"
#include "core/pipeline/events.h"
#include "core/pipeline/generator.h"
#include "core/pipeline/request.h"

namespace ditscope {

/// One run as the history keeps it: the request that makes it again, and what it gave.
struct HistoryRun {
  enum class Status { Done, Stopped, Failed };
  Request request;
  Status status = Status::Done;
  std::string message;                   ///< why it failed
  double seconds = 0, attention_seconds = 0;
  std::map<std::string, double> stages;  ///< as RunResult::stages
  std::vector<StepRecord> steps;         ///< only from load()
  KeptRatio kept_ratio;
  std::int64_t peak_bytes = 0, method_bytes = 0;
  double reused_ratio = 0;
  std::string noise_hash;
  std::optional<double> psnr_db, ssim;   ///< against the entry's first run
  std::filesystem::path video;           ///< the history's own MP4; empty: none
  std::vector<std::filesystem::path> outputs;  ///< files that the user saved of it
};

/// One press of Generate: one or several runs, the first of which is the reference.
struct HistoryEntry {
  std::int64_t id = 0;                      ///< from next_id()
  std::int64_t finished_ms = 0;             ///< since 1970, UTC; 0: save() takes now
  std::vector<HistoryRun> runs;
  std::vector<std::uint8_t> thumbnail_png;  ///< empty: save() makes one of the first run with frames
};

/// Requests that still wait for their turn.
struct QueuedJob {
  std::int64_t id = 0;
  std::vector<Request> requests;  ///< one a run
};

struct HistoryFilter {
  std::string text;                   ///< part of the prompt; ASCII letters match either case
  std::string method;                 ///< key of a method that one of the runs used
  std::optional<std::uint64_t> seed;
  int limit = 500, offset = 0;
};

/// Finished runs, their videos and the waiting queue, in one folder: `history.db` (SQLite, WAL) and `runs/<id>-<run>.mp4`
/// (CRF 12: shown again after a restart; the figures stored beside them are of the raw frames).
///
/// Not thread-safe: one instance per thread. Several instances, also of several processes, may share a folder.
/// A database that is damaged is moved aside under a dated name and a fresh one begun; one written by a newer version opens
/// read-only. Both are told by notice(). Writing to a read-only history throws Error{Unsupported}.
class History {
 public:
  /// @throws Error{Device} when the folder cannot be made or written
  explicit History(const std::filesystem::path& folder);
  ~History();
  History(const History&) = delete;
  History& operator=(const History&) = delete;

  /// What happened while opening that the user should read; empty: nothing.
  const std::string& notice() const;
  bool read_only() const;

  /// A number that no entry of this history has had, also across processes.
  std::int64_t next_id();

  /// Stores an entry, replacing one of the same id. `frames` are those of entry.runs, in order (null or missing: the run has
  /// none, and a video it already has stays). Videos are written first, so an entry never names one that is not whole.
  /// @throws Error{InvalidArgument} id < 1 or no run; Error{Device} disk full
  void save(const HistoryEntry& entry, const std::vector<const Frames*>& frames = {});
  /// Notes that the user saved a run to a file. @throws Error{NotFound}
  void add_output(std::int64_t id, int run, const std::filesystem::path& file);

  /// Entries that match, newest first, without their steps. One that cannot be read comes as a single failed run whose message
  /// says why.
  std::vector<HistoryEntry> find(const HistoryFilter& filter = {});
  /// @throws Error{NotFound}
  HistoryEntry load(std::int64_t id);
  /// The stored video of a run, cut to the size of its request. @throws Error{NotFound, Corrupt}
  static Frames load_frames(const HistoryRun& run);
  /// Removes an entry and the history's videos of it; files that the user saved stay. No such entry: nothing happens.
  void remove(std::int64_t id);

  /// Replaces the journal of waiting jobs, in order: adding, moving and removing is one call.
  void save_queue(const std::vector<QueuedJob>& jobs);
  std::vector<QueuedJob> load_queue();

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace ditscope
