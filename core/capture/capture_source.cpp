#include "core/capture/capture_source.h"

#include <sqlite3.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <map>
#include <nlohmann/json.hpp>

#include "core/capture/capture_schema.h"

namespace ditscope {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::json;

constexpr std::uintmax_t kCheckedAtOnce_bytes = std::uintmax_t{64} << 20;
constexpr std::size_t kLargestJson_bytes = std::size_t{1} << 20;
constexpr int kBusy_ms = 2000;

[[noreturn]] void no_capture(const fs::path& file, const std::string& why) {
  throw Error(ErrorKind::Corrupt, file.string() + " is no capture that can be read: " + why + ". Record it again, or choose another file.");
}

void check_file(const fs::path& file) {
  std::error_code failed;
  if (!fs::exists(file, failed)) throw Error(ErrorKind::NotFound, "There is no capture " + file.string() + ". Check the path.");
  if (!fs::is_regular_file(file, failed)) no_capture(file, "it is not a file");
  if (access(file.c_str(), R_OK) != 0) throw Error(ErrorKind::Device, "cannot read " + file.string() + ": " + std::strerror(errno) + "; check its permissions");
}

/// The header of an SQLite database that says it is a capture; looked at before SQLite does, but through its descriptor: closing
/// another one of the file would drop the locks of every connection that this process has to it.
void check_header(const fs::path& file, sqlite::Database& database) {
  std::array<char, 100> header{};
  std::error_code unknown;
  const std::uintmax_t bytes = fs::file_size(file, unknown);
  if (bytes < header.size() && !unknown) no_capture(file, bytes == 0 ? "it is empty" : "it has " + std::to_string(bytes) + " bytes");
  sqlite3_file* opened = nullptr;
  sqlite3_file_control(database.handle(), "main", SQLITE_FCNTL_FILE_POINTER, &opened);
  if (!opened || !opened->pMethods || opened->pMethods->xRead(opened, header.data(), static_cast<int>(header.size()), 0) != SQLITE_OK)
    throw Error(ErrorKind::Device, "cannot read " + file.string() + "; check the disk");
  if (std::string(header.data(), 15) != "SQLite format 3") no_capture(file, "it is no SQLite database");
  if (std::string(header.data() + 68, 4) != "DiTc") no_capture(file, "it is a database of another program");
  // Pages that the header counts and no log holds must be there. The count is valid where the change counter says so.
  const auto number = [&](std::size_t at, std::size_t bytes_long = 4) {
    std::uintmax_t value = 0;
    for (std::size_t i = at; i < at + bytes_long; ++i) value = value << 8 | static_cast<unsigned char>(header[i]);
    return value;
  };
  const fs::path log = file.string() + "-wal";
  const std::uintmax_t log_bytes = fs::file_size(log, unknown), page = number(16, 2) == 1 ? 65536 : number(16, 2), pages = number(28) * page;
  if ((unknown || log_bytes == 0) && number(24) == number(92) && bytes < pages)
    no_capture(file, "it is cut off, " + std::to_string(pages - bytes) + " bytes are missing");
}

struct Object {
  std::string type, sql;
};

std::map<std::string, Object> objects(sqlite::Database& database) {
  std::map<std::string, Object> found;
  sqlite::Statement rows(database, "SELECT type, name, coalesce(sql, '') FROM sqlite_schema WHERE name NOT LIKE 'sqlite_%'");
  while (rows.step()) found[rows.text(1)] = {rows.text(0), rows.text(2)};
  return found;
}

std::map<std::string, Object> objects_of(int minor) {
  sqlite::Database memory(":memory:", sqlite::Database::Mode::ReadWrite);
  for (const std::string& table : capture_file::schema(minor)) memory.execute(table);
  return objects(memory);
}

const std::map<std::string, Object>& expected_objects(int minor) {
  static const std::map<std::string, Object> kFirst = objects_of(1), kNow = objects_of(capture_file::kMinor);
  return minor < 2 ? kFirst : kNow;
}

}  // namespace

Json parse_json(const std::string& text, const char* what) {
  const auto fail = [&](const std::string& got) {
    throw Error(ErrorKind::Corrupt, "expected " + std::string(what) + " as a JSON array, got " + got + "; the capture is damaged, record it again");
  };
  if (text.size() > kLargestJson_bytes) fail(std::to_string(text.size()) + " bytes");
  int depth = 0;
  for (const char c : text) {
    depth += c == '[' || c == '{';
    if (depth > 64) fail("too many brackets");
  }
  Json json = Json::parse(text, nullptr, false);
  if (!json.is_array()) fail("\"" + text.substr(0, 60) + "\"");
  return json;
}

CaptureSource::CaptureSource(const fs::path& file, std::chrono::nanoseconds query_limit) : file_(file), query_limit_(query_limit) {
  check_file(file);
  start_query();
  try {
    open(file, sqlite::Database::Mode::ReadOnly);
  } catch (const Error& error) {
    if (error.kind() != ErrorKind::Device || locked() || interrupted()) rethrow(error);
    open_unshared(error);
  }
}

/// A file in WAL mode where SQLite cannot make what it shares with other connections: read-only media, a full disk.
void CaptureSource::open_unshared(const Error& first) {
  const fs::path log = file_.string() + "-wal";
  try {
    if (!fs::exists(log)) return open(file_, sqlite::Database::Mode::Immutable);  // all that there is lies in the one file
    copy_folder_ = fs::temp_directory_path() / ("ditscope-capture-" + std::to_string(getpid()) + "-" + std::to_string(reinterpret_cast<std::uintptr_t>(this)));
    fs::create_directories(copy_folder_);
    fs::copy_file(file_, copy_folder_ / "copy.ditcap");
    fs::copy_file(log, copy_folder_ / "copy.ditcap-wal");
    open(copy_folder_ / "copy.ditcap", sqlite::Database::Mode::ReadOnly);
  } catch (const std::exception& second) {
    database_.reset();
    std::error_code ignored;
    if (!copy_folder_.empty()) fs::remove_all(copy_folder_, ignored);  // no destructor runs
    const auto* told = dynamic_cast<const Error*>(&second);
    rethrow(told ? *told : first);
  }
}

CaptureSource::~CaptureSource() {
  database_.reset();
  std::error_code ignored;
  if (!copy_folder_.empty()) fs::remove_all(copy_folder_, ignored);
}

void CaptureSource::open(const fs::path& file, sqlite::Database::Mode mode) {
  database_ = std::make_unique<sqlite::Database>(file, mode);
  sqlite3_busy_timeout(database_->handle(), kBusy_ms);
  check_header(file_, *database_);
  lower_limits();
  check();
}

bool CaptureSource::locked() const {
  const int code = database_ ? sqlite3_errcode(database_->handle()) & 0xFF : SQLITE_OK;
  return code == SQLITE_BUSY || code == SQLITE_LOCKED;
}

namespace {

std::chrono::nanoseconds thread_time() {
  timespec t{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
  return std::chrono::seconds(t.tv_sec) + std::chrono::nanoseconds(t.tv_nsec);
}

}  // namespace

void CaptureSource::start_query() { query_began_ = thread_time(); }

int CaptureSource::too_long(void* self) {
  const auto* source = static_cast<CaptureSource*>(self);
  return thread_time() - source->query_began_ > source->query_limit_ ? 1 : 0;
}

bool CaptureSource::interrupted() const { return database_ && (sqlite3_errcode(database_->handle()) & 0xFF) == SQLITE_INTERRUPT; }

/// After sqlite.org/security.html: nothing of the file's schema runs, and no value or statement is larger than ours are.
void CaptureSource::lower_limits() {
  sqlite3* handle = database_->handle();
  sqlite3_db_config(handle, SQLITE_DBCONFIG_DEFENSIVE, 1, nullptr);
  sqlite3_db_config(handle, SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0, nullptr);
  sqlite3_db_config(handle, SQLITE_DBCONFIG_ENABLE_VIEW, 0, nullptr);
  sqlite3_db_config(handle, SQLITE_DBCONFIG_ENABLE_TRIGGER, 0, nullptr);
  for (const auto& [limit, value] : std::map<int, int>{{SQLITE_LIMIT_LENGTH, 8 << 20},
                                                       {SQLITE_LIMIT_SQL_LENGTH, 20000},
                                                       {SQLITE_LIMIT_COLUMN, 100},
                                                       {SQLITE_LIMIT_EXPR_DEPTH, 20},
                                                       {SQLITE_LIMIT_COMPOUND_SELECT, 3},
                                                       {SQLITE_LIMIT_VDBE_OP, 25000},
                                                       {SQLITE_LIMIT_FUNCTION_ARG, 8},
                                                       {SQLITE_LIMIT_ATTACHED, 0},
                                                       {SQLITE_LIMIT_LIKE_PATTERN_LENGTH, 50},
                                                       {SQLITE_LIMIT_VARIABLE_NUMBER, 16},
                                                       {SQLITE_LIMIT_TRIGGER_DEPTH, 1}})
    sqlite3_limit(handle, limit, value);
  sqlite3_progress_handler(handle, 20000, too_long, this);
  database_->execute("PRAGMA query_only = ON; PRAGMA cell_size_check = ON; PRAGMA temp_store = MEMORY; PRAGMA mmap_size = 0");
}

void CaptureSource::check() {
  if (database_->integer("PRAGMA application_id") != capture_file::kApplicationId) no_capture(file_, "it is a database of another program");
  version_ = static_cast<int>(database_->integer("PRAGMA user_version"));
  const auto found = objects(*database_);
  for (const auto& [name, object] : found) {
    if (object.type != "table" && object.type != "index") no_capture(file_, "it holds a " + object.type + " \"" + name.substr(0, 40) + "\"");
    if (object.sql.find("VIRTUAL") != std::string::npos) no_capture(file_, "it holds a virtual table");
  }
  const int major = version_ / 1000;
  const bool has_meta = found.contains("meta");
  if (major > capture_file::kMajor) {
    const std::string writer = has_meta ? database_->text("SELECT value FROM meta WHERE key = 'writer'") : "";
    throw Error(ErrorKind::Unsupported, file_.string() + " was written by " + (writer.empty() ? "a newer version" : writer.substr(0, 80)) + " (format " +
                                            std::to_string(version_) + "); this version reads up to " + std::to_string(1000 * capture_file::kMajor + 999) +
                                            ". Open it with the newer one.");
  }
  if (version_ < 1000) no_capture(file_, "its format is " + std::to_string(version_));
  for (const auto& [name, object] : expected_objects(version_ % 1000)) {
    const auto there = found.find(name);
    if (there == found.end()) no_capture(file_, "the table " + name + " is missing");
    // A newer minor version may have added columns; those up to our own are known to the letter.
    if (version_ <= 1000 * capture_file::kMajor + capture_file::kMinor && there->second.sql != object.sql) no_capture(file_, "the table " + name + " is another");
    if (object.type != "table") continue;
    sqlite::Statement columns(*database_, "SELECT count(*) FROM pragma_table_xinfo(?) WHERE hidden <> 0");
    columns.bind(name);
    if (columns.step() && columns.integer(0) != 0) no_capture(file_, "the table " + name + " computes columns");
  }
  std::error_code unknown;
  if (fs::file_size(file_, unknown) <= kCheckedAtOnce_bytes && !unknown) {
    const std::string verdict = database_->text("PRAGMA quick_check(1)");
    if (verdict != "ok") no_capture(file_, verdict.substr(0, 120));
  }
}

void CaptureSource::rethrow(const Error& error) const {
  if (interrupted())
    throw Error(ErrorKind::Corrupt, file_.string() + ": reading it computes without end; the capture is damaged. Record it again, or choose another file.");
  if (error.kind() == ErrorKind::Device && locked())
    throw Error(ErrorKind::Device, file_.string() + " is locked by another program that writes into it; try again when it is done.");
  const std::string text = error.what();
  if (error.kind() == ErrorKind::Corrupt && text.starts_with("cannot read")) {  // SQLite's own verdict
    const std::string reason = text.substr(0, text.find("; start again"));
    no_capture(file_, reason.substr(std::min(reason.size(), reason.find(": ") + 2)));
  }
  if (text.find(file_.string()) != std::string::npos) throw error;
  throw Error(error.kind(), file_.string() + ": " + text);
}

}  // namespace ditscope
