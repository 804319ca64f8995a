#include "core/pipeline/process_memory.h"

#include <sys/resource.h>

#include <algorithm>
#include <fstream>
#include <string>

namespace ditscope {
namespace {

/// The value of a line "VmHWM:   1234 kB".
std::int64_t read_field(const char* file, const std::string& field) {
  std::ifstream stream(file);
  for (std::string line; std::getline(stream, line);)
    if (line.compare(0, field.size(), field) == 0) return std::stoll(line.substr(field.size() + 1)) * 1024;
  return 0;
}

}  // namespace

std::int64_t resident_bytes() {
  return read_field("/proc/self/status", "VmRSS");
}
std::int64_t available_bytes() {
  const std::int64_t machine = read_field("/proc/meminfo", "MemAvailable");
  rlimit limit{};
  if (::getrlimit(RLIMIT_AS, &limit) != 0 || limit.rlim_cur == RLIM_INFINITY) return machine;
  const auto allowed = static_cast<std::int64_t>(limit.rlim_cur) - read_field("/proc/self/status", "VmSize");
  return std::max<std::int64_t>(std::min(machine, allowed), 0);
}

PeakMemory::PeakMemory() {
  std::ofstream stream("/proc/self/clear_refs");
  stream << "5" << std::flush;  // proc(5): resets the peak resident set size
  reset_ = stream.good();
  sample();
}

void PeakMemory::sample() {
  highest_ = std::max(highest_, resident_bytes());
}

std::int64_t PeakMemory::bytes() {
  sample();
  return reset_ ? std::max(highest_, read_field("/proc/self/status", "VmHWM")) : highest_;
}

}  // namespace ditscope
