#include "core/capture/capture_lease.h"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <string>

#include "kernels/error.h"

namespace ditscope {

CaptureLease::CaptureLease(const std::filesystem::path& capture) {
  const std::string log = capture.string() + "-wal";
  descriptor_ = open(log.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0644);
  if (descriptor_ < 0)
    throw Error(ErrorKind::Device, "cannot make the capture " + capture.string() + ": " + std::strerror(errno) + "; choose another folder");
  if (flock(descriptor_, LOCK_EX | LOCK_NB) == 0 || errno != EWOULDBLOCK) return;
  close(descriptor_);
  throw Error(ErrorKind::Device, capture.string() + " is being recorded by another run; give this one another name");
}

CaptureLease::~CaptureLease() { close(descriptor_); }

bool CaptureLease::held(const std::filesystem::path& capture) {
  const int log = open((capture.string() + "-wal").c_str(), O_RDONLY | O_CLOEXEC);
  if (log < 0) return errno != ENOENT;
  const bool free = flock(log, LOCK_SH | LOCK_NB) == 0;
  close(log);
  return !free;
}

}  // namespace ditscope
