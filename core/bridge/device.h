#pragma once

namespace ditscope {

/// True where tensors can live on an NVIDIA GPU. The first call looks for one and, where a driver and a device are found, loads
/// LibTorch's CUDA half, which registers itself; so one program serves machines with and without a GPU.
/// float32 is then computed in float32 (no TF32) there.
/// Call it instead of at::hasCUDA(), which fixes its answer at its first call. Thread-safe.
bool cuda_available();

}  // namespace ditscope
