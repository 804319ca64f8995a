#pragma once
#include <cstddef>
#include <filesystem>
#include <string>
#include <string_view>

namespace ditscope {

/// A file that appears under its name only when it is complete: written beside it, flushed to the disk, renamed in commit().
/// Killed, out of room or destroyed before commit(): the old file (or none) stays.
class AtomicWriter {
 public:
  /// @throws Error{NotFound} where the folder is missing, Error{Device} where it cannot be written
  explicit AtomicWriter(std::filesystem::path final_path);
  ~AtomicWriter();
  AtomicWriter(const AtomicWriter&) = delete;
  AtomicWriter& operator=(const AtomicWriter&) = delete;

  /// @throws Error{Device} with the reason (no room, quota, file size limit)
  void write(const void* data, std::size_t size_bytes);
  void write(std::string_view text) { write(text.data(), text.size()); }
  void commit();

 private:
  [[noreturn]] void fail(const char* doing, int error_number) const;

  std::filesystem::path final_path_;
  std::string temporary_path_;
  int descriptor_ = -1;
};

/// One small file, whole or not at all.
void write_file_atomically(const std::filesystem::path& path, std::string_view bytes);

}  // namespace ditscope
