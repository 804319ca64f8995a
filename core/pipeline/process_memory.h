#pragma once
#include <cstdint>

namespace ditscope {

/// The highest resident memory of this process since construction, in bytes.
///
/// Linux keeps such a mark (VmHWM) and lets a process reset its own; where that is not allowed, sample() is all there is, so
/// call it where memory is high.
class PeakMemory {
 public:
  PeakMemory();
  void sample();
  std::int64_t bytes();

 private:
  bool reset_ = false;
  std::int64_t highest_ = 0;
};

/// Resident memory of this process now; 0 where /proc does not say.
std::int64_t resident_bytes();
/// Memory that could be used without swapping; 0 where /proc does not say.
std::int64_t available_bytes();

}  // namespace ditscope
