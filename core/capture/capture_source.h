#pragma once
// Internal to core/capture: a capture file opened with suspicion.
#include <chrono>
#include <filesystem>
#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <string>

#include "core/capture/capture_lease.h"
#include "core/history/sqlite.h"
#include "kernels/error.h"

namespace ditscope {

/// JSON of a capture, an array, bounded in size and depth. @throws Error{Corrupt}
nlohmann::json parse_json(const std::string& text, const char* what);

/// A read-only connection with SQLite's limits lowered, its schema checked, and a limit on what every query computes.
class CaptureSource {
 public:
  /// @param query_limit  time of the processor that one read may take: a program that slept or was stopped has not computed
  /// @throws as CaptureReader
  explicit CaptureSource(const std::filesystem::path& file, std::chrono::nanoseconds query_limit = std::chrono::seconds(20));
  ~CaptureSource();

  const std::filesystem::path& file() const { return file_; }
  int version() const { return version_; }
  sqlite::Database& database() { return *database_; }
  /// Whether a living writer records into the file.
  bool live() const { return CaptureLease::held(file_); }

  /// Runs `work(database)` under the limit; errors name the file and say that it is a capture.
  template <typename Work>
  auto read(const Work& work) {
    start_query();
    try {
      return work(*database_);
    } catch (const Error& error) {
      rethrow(error);
    }
  }

 private:
  void open(const std::filesystem::path& file, sqlite::Database::Mode mode);
  void open_unshared(const Error& first);
  bool locked() const;       ///< the last error was another connection's lock
  bool interrupted() const;  ///< the last error was the limit
  void lower_limits();
  void check();
  void start_query();
  static int too_long(void* self);  ///< SQLite asks while it computes
  [[noreturn]] void rethrow(const Error& error) const;

  std::filesystem::path file_, copy_folder_;
  std::unique_ptr<sqlite::Database> database_;
  std::chrono::nanoseconds query_limit_, query_began_{};  ///< of the reading thread's processor time
  int version_ = 0;
};

}  // namespace ditscope
