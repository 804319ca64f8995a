#pragma once
#include <c10/core/Device.h>

#include <cstdint>
#include <string>

namespace ditscope {

// What differs between a GPU and the CPU besides where tensors live.

/// Waits until the device has done all it was given: a GPU works behind the program's back, so a clock read without this
/// measures how fast work is handed out. The CPU has nothing to wait for.
void wait_for(c10::Device device);

/// The device of that name, ready for tensors. @param name  "cpu" or "cuda"
/// @throws Error{Device} where it is a GPU and none can be used
c10::Device usable_device(const std::string& name);

/// Bytes of a GPU's memory that nobody has taken.
std::int64_t free_device_bytes(c10::Device gpu);

/// The most that tensors on a GPU have taken at once since construction, weights included. Always 0 on the CPU.
class PeakDeviceMemory {
 public:
  explicit PeakDeviceMemory(c10::Device device);
  std::int64_t bytes() const;

 private:
  c10::Device device_;
};

}  // namespace ditscope
