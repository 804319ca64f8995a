#include "core/media/atomic_file.h"

#include <fcntl.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstring>
#include <system_error>

#include "kernels/error.h"

namespace ditscope {
namespace {

/// Closes its file descriptor.
struct Descriptor {
  int number = -1;
  ~Descriptor() {
    if (number >= 0) ::close(number);
  }
};

const char* advice(int error_number) {
  switch (error_number) {
    case ENOSPC:
    case EDQUOT:
    case EFBIG: return "free some space or save to another disk";
    case EACCES:
    case EPERM:
    case EROFS: return "choose a folder that you may write to";
    case ENOTDIR:
    case EISDIR:
    case ENAMETOOLONG: return "choose another name";
    default: return "check the disk or save to another folder";
  }
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
  const std::filesystem::path parent = final_path_.parent_path();
  const std::filesystem::path folder = parent.empty() ? std::filesystem::path(".") : parent;
  std::error_code error;
  std::filesystem::create_directories(folder, error);
  if (error && !std::filesystem::is_directory(folder)) throw_disk_error(final_path_, error.value());
  if (final_path_.filename().empty() || std::filesystem::is_directory(final_path_, error)) throw_disk_error(final_path_, EISDIR);
  const std::filesystem::path name = temporary_name(folder);
  const Descriptor file{::open(name.c_str(), O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, 0666)};
  if (file.number < 0) throw_disk_error(final_path_, errno);
  temporary_ = name;
}

AtomicFile::~AtomicFile() {
  if (!temporary_.empty()) ::unlink(temporary_.c_str());
}

void AtomicFile::commit() {
  {
    const Descriptor file{::open(temporary_.c_str(), O_RDONLY | O_CLOEXEC)};
    if (file.number < 0 || ::fsync(file.number) != 0) throw_disk_error(final_path_, errno);
  }
  if (::rename(temporary_.c_str(), final_path_.c_str()) != 0) throw_disk_error(final_path_, errno);
  temporary_.clear();
}

void write_file(const std::filesystem::path& path, std::span<const std::uint8_t> bytes) {
  AtomicFile target(path);
  {
    const Descriptor file{::open(target.temporary().c_str(), O_WRONLY | O_CLOEXEC)};
    if (file.number < 0) throw_disk_error(path, errno);
    std::size_t written = 0;
    while (written < bytes.size()) {
      const ssize_t count = ::write(file.number, bytes.data() + written, bytes.size() - written);
      if (count < 0 && errno == EINTR) continue;
      if (count < 0) throw_disk_error(path, errno);
      written += static_cast<std::size_t>(count);
    }
  }
  target.commit();
}

void write_file(const std::filesystem::path& path, const std::string& text) {
  write_file(path, std::span(reinterpret_cast<const std::uint8_t*>(text.data()), text.size()));
}

}  // namespace ditscope
