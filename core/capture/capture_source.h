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

/// A read-only connection with SQLite's limits lowered, its schema checked, and a deadline on every query.
class CaptureSource {
 public:
  /// @throws as CaptureReader
  explicit CaptureSource(const std::filesystem::path& file);
  ~CaptureSource();

  const std::filesystem::path& file() const { return file_; }
  int version() const { return version_; }
  sqlite::Database& database() { return *database_; }
  /// Whether a living writer records into the file.
  bool live() const { return CaptureLease::held(file_); }

  /// Runs `work(database)` under the deadline; errors name the file and say that it is a capture.
  template <typename Work>
  auto read(const Work& work) {
    start_deadline();
    try {
      return work(*database_);
    } catch (const Error& error) {
      rethrow(error);
    }
  }

 private:
  void open(const std::filesystem::path& file, sqlite::Database::Mode mode);
  void open_unshared(const Error& first);
  bool locked() const;  ///< the last error was another connection's lock
  void lower_limits();
  void check();
  void start_deadline() { deadline_ = std::chrono::steady_clock::now() + std::chrono::seconds(20); }
  [[noreturn]] void rethrow(const Error& error) const;

  std::filesystem::path file_, copy_folder_;
  std::unique_ptr<sqlite::Database> database_;
  std::chrono::steady_clock::time_point deadline_{};
  int version_ = 0;
};

}  // namespace ditscope
