#include "core/bridge/accelerator.h"

#include <ATen/Context.h>
#include <c10/core/CachingDeviceAllocator.h>
#include <c10/core/impl/VirtualGuardImpl.h>

#include "core/bridge/device.h"
#include "kernels/error.h"

namespace ditscope {
namespace {

/// "cuda" alone means the current device: with one process and one stream, the first.
c10::DeviceIndex index_of(c10::Device device) {
  return device.has_index() ? device.index() : c10::impl::VirtualGuardImpl(device.type()).getDevice().index();
}

}  // namespace

void wait_for(c10::Device device) {
  if (device.is_cpu()) return;
  const c10::impl::VirtualGuardImpl guard(device.type());
  guard.synchronizeStream(guard.getStream({device.type(), index_of(device)}));
}

c10::Device usable_device(const std::string& name) {
  const c10::Device device(name);
  if (device.is_cpu()) return device;
  if (!cuda_available())
    throw Error(ErrorKind::Device, "No GPU can be used here: none is found, or this build has no CUDA. Choose the device cpu.");
  at::globalContext().lazyInitDevice(device.type());
  return device;
}

std::int64_t free_device_bytes(c10::Device gpu) {
  return static_cast<std::int64_t>(c10::getDeviceAllocator(gpu.type())->getMemoryInfo(index_of(gpu)).first);
}

PeakDeviceMemory::PeakDeviceMemory(c10::Device device) : device_(device) {
  if (device.is_cpu()) return;
  at::globalContext().lazyInitDevice(device.type());  // an allocator that never ran knows no devices
  c10::getDeviceAllocator(device.type())->resetPeakStats(index_of(device));
}

std::int64_t PeakDeviceMemory::bytes() const {
  if (device_.is_cpu()) return 0;
  const auto stats = c10::getDeviceAllocator(device_.type())->getDeviceStats(index_of(device_));
  return stats.allocated_bytes[static_cast<std::size_t>(c10::CachingAllocator::StatType::AGGREGATE)].peak;
}

}  // namespace ditscope
