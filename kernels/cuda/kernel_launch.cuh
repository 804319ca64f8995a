#pragma once
// What the launches of all kernels share.
#include <cuda_runtime.h>

#include <algorithm>
#include <atomic>
#include <string>

#include "kernels/cuda/launch.h"
#include "kernels/error.h"

namespace ditscope::cuda {

inline void check(cudaError_t status, const char* what) {
  if (status == cudaSuccess) return;
  (void)cudaGetLastError();
  throw Error(ErrorKind::Device, std::string("expected the GPU to ") + what + ", got \"" + cudaGetErrorString(status) +
                                     "\"; check the driver, or use --device cpu");
}

/// Blocks of a kernel that the current device runs at once. Asked for once a kernel and device; that also grants the kernel its
/// shared memory.
template <auto kKernel>
int resident_blocks(int threads, std::size_t shared_bytes) {
  constexpr int kDevices = 64;
  static std::atomic<int> known[kDevices];
  int device = 0;
  check(cudaGetDevice(&device), "name its device");
  std::atomic<int>& blocks = known[device % kDevices];
  if (blocks == 0) {
    int processors = 0, each = 0;
    check(cudaFuncSetAttribute(kKernel, cudaFuncAttributeMaxDynamicSharedMemorySize, static_cast<int>(shared_bytes)),
          "give a kernel its shared memory");
    check(cudaDeviceGetAttribute(&processors, cudaDevAttrMultiProcessorCount, device), "count its processors");
    check(cudaOccupancyMaxActiveBlocksPerMultiprocessor(&each, kKernel, threads, shared_bytes), "run an attention kernel");
    blocks = std::max(processors * each, 1);
  }
  return blocks;
}

template <auto kKernel, class KernelParameters>
void launch_queue(const KernelParameters& p, int items, int threads, std::size_t shared_bytes, void* stream) {
  if (items == 0) return;
  const int blocks = std::min(items, resident_blocks<kKernel>(threads, shared_bytes));
  kKernel<<<blocks, threads, shared_bytes, static_cast<cudaStream_t>(stream)>>>(p);
  check(cudaGetLastError(), "start an attention kernel");
}

// The kernels of an element type and width, defined where they are compiled. Without parameters nothing is launched; what comes
// back then is how many blocks of the kernel run at once.
template <typename Element, int kWidth>
int launch_tiles(const Parameters* p, int tile_blocks, bool split, void* stream);
template <int kWidth>
int launch_floats(const Parameters* p, bool split, void* stream);
/// Compute capability 9.0, tiles of two query blocks, keys; widths 64, 80, 96, 128.
template <typename Element, int kWidth>
int launch_hopper(const Parameters* p, bool split, void* stream);

}  // namespace ditscope::cuda
