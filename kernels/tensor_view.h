#pragma once
#include <array>
#include <cstdint>

namespace ditscope {

/// A borrowed, strided view of host memory; the caller keeps it alive. Strides count elements.
template <typename T, int kRank>
struct HostView {
  T* data = nullptr;
  std::array<std::int64_t, kRank> shape{};
  std::array<std::int64_t, kRank> stride{};
};

/// The same for device memory: another type, so that a host pointer cannot be passed by mistake.
template <typename T, int kRank>
struct DeviceView {
  T* data = nullptr;
  std::array<std::int64_t, kRank> shape{};
  std::array<std::int64_t, kRank> stride{};
};

}  // namespace ditscope
