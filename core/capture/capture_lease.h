#pragma once
// Internal to core/capture: whether somebody records into a file right now.
#include <filesystem>

namespace ditscope {

/// Held by the writer of a capture from before its file is there until it is closed, and by no dead process: flock(2) on the log
/// (`-wal`) beside the file. SQLite locks other files and with another call, so neither is in the other's way.
class CaptureLease {
 public:
  /// Makes the log where it is missing. On file systems without locks the lease is not held, and held() says that it is.
  /// @throws Error{Device} where the log cannot be made, or another writer holds it
  explicit CaptureLease(const std::filesystem::path& capture);
  ~CaptureLease();
  CaptureLease(const CaptureLease&) = delete;
  CaptureLease& operator=(const CaptureLease&) = delete;

  /// Whether a living writer has it. Where this cannot be told, as long as there is a log.
  static bool held(const std::filesystem::path& capture);

 private:
  int descriptor_ = -1;
};

}  // namespace ditscope
