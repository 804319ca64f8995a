#include "core/files/atomic_file.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <system_error>
#include <utility>

#include "kernels/error.h"

namespace ditscope {
namespace {

const char* advice(int error_number) {
  switch (error_number) {
    case ENOSPC:
    case EDQUOT: return "there is no room left: free some space or save to another disk";
    case EFBIG: return "the file is larger than this disk or system lets it be: free some space, raise the limit or save to another disk";
    case EACCES:
    case EPERM:
    case EROFS: return "choose a folder that you may write to";
    case ENOTDIR:
    case ENAMETOOLONG: return "choose another name";
    default: return "check the disk or save to another folder";
  }
}

std::filesystem::path folder_of(const std::filesystem::path& path) {
  return path.has_parent_path() ? path.parent_path() : std::filesystem::path(".");
}

}  // namespace

void throw_disk_error(const std::filesystem::path& path, int error_number) {
  throw Error(ErrorKind::Device, "cannot write " + path.string() + ": " + std::generic_category().message(error_number) + "; " +
                                     advice(error_number));
}

std::filesystem::path temporary_name(const std::filesystem::path& folder) {
  static std::atomic<unsigned> counter{0};
  return folder / (".ditscope-" + std::to_string(::getpid()) + "-" + std::to_string(counter++) + ".part");
}

AtomicFile::AtomicFile(std::filesystem::path final_path) : final_path_(std::move(final_path)) {
  const std::filesystem::path folder = folder_of(final_path_);
  std::error_code error;
  std::filesystem::create_directories(folder, error);
  if (error && !std::filesystem::is_directory(folder)) throw_disk_error(final_path_, error.value());
  if (final_path_.filename().empty() || std::filesystem::is_directory(final_path_, error)) {
    throw Error(ErrorKind::InvalidArgument, "cannot write " + final_path_.string() + ": a folder has this name; choose another name");
  }
  const std::filesystem::path name = temporary_name(folder);
  descriptor_ = ::open(name.c_str(), O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, 0666);
  if (descriptor_ < 0) throw_disk_error(final_path_, errno);
  temporary_ = name;
}

AtomicFile::~AtomicFile() {
  if (descriptor_ >= 0) ::close(descriptor_);
  if (!temporary_.empty()) ::unlink(temporary_.c_str());
}

void AtomicFile::write(const void* data, std::size_t size_bytes) {
  const char* from = static_cast<const char*>(data);
  while (size_bytes > 0) {
    const auto done = ::write(descriptor_, from, std::min(size_bytes, std::size_t{1} << 30));
    if (done < 0) {
      if (errno == EINTR) continue;
      throw_disk_error(final_path_, errno);
    }
    from += done;
    size_bytes -= static_cast<std::size_t>(done);
  }
}

void AtomicFile::commit() {
  if (::fsync(descriptor_) != 0 && errno != EINVAL) throw_disk_error(final_path_, errno);
  if (::close(std::exchange(descriptor_, -1)) != 0) throw_disk_error(final_path_, errno);
  if (::rename(temporary_.c_str(), final_path_.c_str()) != 0) throw_disk_error(final_path_, errno);
  temporary_.clear();
  // The rename itself reaches the disk with its folder; where that cannot be opened the file is complete all the same.
  const int folder = ::open(folder_of(final_path_).c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (folder >= 0) {
    ::fsync(folder);
    ::close(folder);
  }
}

void write_file(const std::filesystem::path& path, std::string_view bytes) {
  AtomicFile file(path);
  file.write(bytes);
  file.commit();
}

void write_file(const std::filesystem::path& path, std::span<const std::uint8_t> bytes) {
  write_file(path, std::string_view(reinterpret_cast<const char*>(bytes.data()), bytes.size()));
}

}  // namespace ditscope
