#pragma once
#include <cstdint>

// The words in which the kernels of this folder are written: what a warp of a GPU can do, behind names of our own. nvcc gets the
// instructions; other compilers get a machine that executes the same words on the CPU, 32 lanes that wait for each other where a
// warp does, so that the same source is tested without a GPU.
#ifdef __CUDACC__
#include "kernels/cuda/gpu_device.h"
#else
#include "kernels/cuda/gpu_emulated.h"
#endif
