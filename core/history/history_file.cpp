#include "core/history/history_file.h"

#include <algorithm>
#include <charconv>
#include <ctime>
#include <string>

#include "kernels/error.h"

namespace ditscope {
namespace {

/// "DTSH": tells `file` and us that a database is a history.
constexpr std::int64_t kApplicationId = 0x44545348;

constexpr const char* kSchema = R"sql(
CREATE TABLE entries (
  id          INTEGER PRIMARY KEY,
  finished_ms INTEGER NOT NULL,   -- since 1970, UTC
  thumbnail   BLOB NOT NULL       -- PNG
);
CREATE INDEX entries_by_time ON entries (finished_ms);
CREATE TABLE runs (
  entry             INTEGER NOT NULL REFERENCES entries (id) ON DELETE CASCADE,
  position          INTEGER NOT NULL,  -- 0: the reference
  request           TEXT NOT NULL,     -- JSON: makes the run again
  prompt            TEXT NOT NULL,     -- of the request, to search
  method            TEXT NOT NULL,     -- of the request, to search
  seed              TEXT NOT NULL,     -- of the request, to search; decimal, SQLite has no unsigned 64-bit integer
  status            INTEGER NOT NULL,  -- 0 done, 1 stopped, 2 failed
  message           TEXT NOT NULL,
  seconds           REAL NOT NULL,
  attention_seconds REAL NOT NULL,
  psnr_db           REAL,              -- against position 0
  ssim              REAL,
  results           TEXT NOT NULL,     -- JSON: stages, kept ratio, bytes, noise hash
  steps             TEXT NOT NULL,     -- JSON: one record a step
  video             TEXT NOT NULL,     -- file name in runs/, or empty
  PRIMARY KEY (entry, position)
);
CREATE TABLE outputs (
  entry    INTEGER NOT NULL,
  position INTEGER NOT NULL,
  path     TEXT NOT NULL,
  UNIQUE (entry, position, path),
  FOREIGN KEY (entry, position) REFERENCES runs (entry, position) ON DELETE CASCADE
);
CREATE TABLE queue (
  position INTEGER PRIMARY KEY,
  id       INTEGER NOT NULL,
  requests TEXT NOT NULL               -- JSON array of requests
);
CREATE TABLE counter (next_id INTEGER NOT NULL);
)sql";

/// One more than the highest number among the videos: a fresh database must not give an old video's name away.
std::int64_t first_free_id(const std::filesystem::path& runs) {
  std::int64_t next = 1;
  std::error_code error;
  for (const auto& file : std::filesystem::directory_iterator(runs, error)) {
    const std::string name = file.path().filename().string();
    std::int64_t id = 0;
    const auto parsed = std::from_chars(name.data(), name.data() + name.size(), id);
    if (parsed.ec == std::errc() && parsed.ptr != name.data() + name.size() && *parsed.ptr == '-' && id > 0 && id < INT32_MAX) {
      next = std::max(next, id + 1);
    }
  }
  return next;
}

void begin_schema(sqlite::Database& database, const std::filesystem::path& folder) {
  sqlite::Transaction transaction(database);
  if (database.integer("PRAGMA user_version") != 0) return;  // another process was faster
  database.execute(kSchema);
  database.execute("INSERT INTO counter VALUES (" + std::to_string(first_free_id(folder / "runs")) + ")");
  database.execute("PRAGMA application_id = " + std::to_string(kApplicationId));
  database.execute("PRAGMA user_version = " + std::to_string(kHistorySchema));
  transaction.commit();
}

/// Why the file is no history that can be used, or "" where it is one (also an empty one).
std::string damage(sqlite::Database& database) {
  try {
    const std::int64_t tables = database.integer("SELECT count(*) FROM sqlite_schema");
    if (tables > 0 && database.integer("PRAGMA application_id") != kApplicationId) return "it belongs to another program";
    const std::string verdict = database.text("PRAGMA quick_check(1)");
    return verdict == "ok" ? "" : verdict;
  } catch (const Error& error) {
    if (error.kind() != ErrorKind::Corrupt) throw;
    return error.what();
  }
}

/// Renames the database with its journal files. @return the new name
std::filesystem::path move_aside(const std::filesystem::path& file) {
  const std::time_t now = std::time(nullptr);
  char date[32];
  std::tm utc{};
  std::strftime(date, sizeof date, "%Y%m%d-%H%M%S", ::gmtime_r(&now, &utc));
  std::filesystem::path target;
  for (int count = 0; count == 0 || std::filesystem::exists(target); ++count) {
    target = file.parent_path() / ("history-damaged-" + std::string(date) + (count ? "-" + std::to_string(count) : "") + ".db");
  }
  for (const char* suffix : {"", "-wal", "-shm"}) {
    std::error_code error;
    std::filesystem::rename(file.string() + suffix, target.string() + suffix, error);
    if (error && *suffix == '\0') {
      throw Error(ErrorKind::Device, "cannot move the damaged " + file.string() + " aside: " + error.message() + "; move it by hand");
    }
  }
  return target;
}

}  // namespace

HistoryFile open_history_file(const std::filesystem::path& folder) {
  std::error_code error;
  std::filesystem::create_directories(folder / "runs", error);
  if (error) {
    throw Error(ErrorKind::Device, "cannot make the folder " + (folder / "runs").string() + ": " + error.message() +
                                       "; choose a data folder that you may write to");
  }
  const std::filesystem::path file = folder / "history.db";
  HistoryFile result;
  result.database = std::make_unique<sqlite::Database>(file, sqlite::Database::Mode::ReadWrite);
  if (const std::string reason = damage(*result.database); !reason.empty()) {
    result.database.reset();
    const std::filesystem::path aside = move_aside(file);
    result.notice = "The history could not be read (" + reason + "). It was moved to " + aside.string() +
                    " and a new one begun; the videos in " + (folder / "runs").string() + " are untouched.";
    result.database = std::make_unique<sqlite::Database>(file, sqlite::Database::Mode::ReadWrite);
  }
  const std::int64_t schema = result.database->integer("PRAGMA user_version");
  if (schema > kHistorySchema) {
    result.database = std::make_unique<sqlite::Database>(file, sqlite::Database::Mode::ReadOnly);
    result.read_only = true;
    result.notice = "The history in " + folder.string() + " was written by a newer version (schema " + std::to_string(schema) +
                    ", this one knows " + std::to_string(kHistorySchema) +
                    "). It is shown but not changed: new runs are not kept. Use the newer version or another data folder.";
    return result;
  }
  result.database->text("PRAGMA journal_mode = WAL");
  result.database->execute("PRAGMA synchronous = NORMAL; PRAGMA foreign_keys = ON");
  if (schema == 0) begin_schema(*result.database, folder);
  return result;
}

}  // namespace ditscope
