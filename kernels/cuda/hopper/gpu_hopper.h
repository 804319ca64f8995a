#pragma once
// The words that only compute capability 9.0 has: barriers in shared memory that count bytes, the copy engine (TMA), products of
// a warpgroup (wgmma). As kernels/cuda/gpu.h, on the device and emulated.
#include "kernels/cuda/gpu.h"

#ifdef __CUDACC__
#include "kernels/cuda/hopper/gpu_hopper_device.h"
#else
#include "kernels/cuda/hopper/gpu_hopper_emulated.h"
#endif

namespace ditscope::gpu {

/// What wgmma reads from shared memory: rows of 128 bytes whose 16-byte chunks are exchanged by their row's number modulo 8, as
/// the copy engine writes them with its 128-byte swizzle; groups of 8 rows lie 1024 bytes apart (PTX ISA, "Matrix descriptor").
GPU_INLINE std::uint64_t matrix_descriptor(std::uint32_t address) {
  constexpr std::uint64_t kGroupBytes = 1024, kSwizzle128 = 1;
  return (address & 0x3ffffu) >> 4 | (kGroupBytes >> 4) << 32 | kSwizzle128 << 62;
}

}  // namespace ditscope::gpu
