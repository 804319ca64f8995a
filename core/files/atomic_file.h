#pragma once
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <string_view>

namespace ditscope {

/// A file that appears under its final name only when it is whole: it is written under a hidden temporary name in the same
/// folder, flushed to disk and renamed by commit(). Without commit() (an error, a stop) the destructor removes it; a killed
/// process leaves at most the hidden file ".ditscope-<pid>-<n>.part" and never touches the final name.
class AtomicFile {
 public:
  /// Creates missing parent folders.
  /// @throws Error{InvalidArgument} when a folder has this name, Error{Device} when the folder cannot be made or written
  explicit AtomicFile(std::filesystem::path final_path);
  ~AtomicFile();
  AtomicFile(const AtomicFile&) = delete;
  AtomicFile& operator=(const AtomicFile&) = delete;

  /// Where a library may write by itself; an empty file exists there.
  const std::filesystem::path& temporary() const { return temporary_; }
  /// Appends. @throws Error{Device} with the reason (no room, quota, file size limit)
  void write(const void* data, std::size_t size_bytes);
  void write(std::string_view text) { write(text.data(), text.size()); }
  /// Replaces the final file, if any. @throws Error{Device}
  void commit();

 private:
  std::filesystem::path final_path_, temporary_;
  int descriptor_ = -1;
};

/// One small file, whole or not at all. @throws as AtomicFile
void write_file(const std::filesystem::path& path, std::string_view bytes);
void write_file(const std::filesystem::path& path, std::span<const std::uint8_t> bytes);

/// Throws Error{Device} for a failed write: which file, what the system said, and what to do about this cause.
[[noreturn]] void throw_disk_error(const std::filesystem::path& path, int error_number);

/// A name in `folder` that nobody else uses: ".ditscope-<pid>-<n>.part".
std::filesystem::path temporary_name(const std::filesystem::path& folder);

}  // namespace ditscope
