#include "core/checkpoint/atomic_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <vector>

#include "kernels/error.h"

namespace ditscope {
namespace {

std::filesystem::path folder_of(const std::filesystem::path& path) {
  return path.has_parent_path() ? path.parent_path() : std::filesystem::path(".");
}

}  // namespace

AtomicWriter::AtomicWriter(std::filesystem::path final_path) : final_path_(std::move(final_path)) {
  const auto folder = folder_of(final_path_);
  std::error_code code;
  if (!std::filesystem::is_directory(folder, code)) {
    throw Error(ErrorKind::NotFound, "cannot write " + final_path_.string() + ": there is no folder " + folder.string() +
                                         "; create it or choose another place");
  }
  if (std::filesystem::is_directory(final_path_, code)) {
    throw Error(ErrorKind::InvalidArgument, "cannot write " + final_path_.string() + ": a folder has this name; choose another");
  }
  std::string hidden = ".";
  hidden.append(final_path_.filename().string()).append(".XXXXXX");
  const auto pattern = (folder / hidden).string();
  std::vector<char> name(pattern.begin(), pattern.end());
  name.push_back('\0');
  descriptor_ = ::mkostemp(name.data(), O_CLOEXEC);
  if (descriptor_ < 0) fail("creating", errno);
  temporary_path_ = name.data();
  const mode_t mask = ::umask(0);
  ::umask(mask);
  ::fchmod(descriptor_, 0666 & ~mask);
}

AtomicWriter::~AtomicWriter() {
  if (descriptor_ >= 0) ::close(descriptor_);
  if (!temporary_path_.empty()) ::unlink(temporary_path_.c_str());
}

void AtomicWriter::write(const void* data, std::size_t size_bytes) {
  const char* from = static_cast<const char*>(data);
  while (size_bytes > 0) {
    const auto done = ::write(descriptor_, from, std::min(size_bytes, std::size_t{1} << 30));
    if (done < 0) {
      if (errno == EINTR) continue;
      fail("writing", errno);
    }
    from += done;
    size_bytes -= static_cast<std::size_t>(done);
  }
}

void AtomicWriter::commit() {
  if (::fsync(descriptor_) != 0 && errno != EINVAL) fail("flushing", errno);
  const int closed = ::close(descriptor_);
  descriptor_ = -1;
  if (closed != 0) fail("closing", errno);
  if (::rename(temporary_path_.c_str(), final_path_.c_str()) != 0) fail("renaming to", errno);
  temporary_path_.clear();
  // The rename itself reaches the disk with its folder; where that cannot be opened the file is complete all the same.
  const int folder = ::open(folder_of(final_path_).c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (folder >= 0) {
    ::fsync(folder);
    ::close(folder);
  }
}

void AtomicWriter::fail(const char* doing, int error_number) const {
  std::string advice = "check the disk";
  if (error_number == ENOSPC || error_number == EDQUOT) advice = "there is no room left: free some space or choose another disk";
  if (error_number == EFBIG) advice = "the file is larger than this system lets it be: choose another disk or raise the limit";
  if (error_number == EACCES || error_number == EPERM || error_number == EROFS) {
    advice = "the folder cannot be written: choose another or change its permissions";
  }
  throw Error(ErrorKind::Device, std::string(doing) + " " + final_path_.string() + " failed (" + std::strerror(error_number) +
                                     "); " + advice + ". Nothing was left under that name by this attempt");
}

void write_file_atomically(const std::filesystem::path& path, std::string_view bytes) {
  AtomicWriter file(path);
  file.write(bytes);
  file.commit();
}

}  // namespace ditscope
