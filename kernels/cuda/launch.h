#pragma once
#include "kernels/cuda/attention.h"
#include "kernels/cuda/block_mass.h"
#include "kernels/cuda/parameters.h"

namespace ditscope::cuda {

/// Widths that there are kernels for, ascending; a call takes the first that holds its own.
inline constexpr int kWidths[] = {32, 64, 80, 96, 128, 256};
inline constexpr int kFloatWidths[] = {64, 128, 256};
/// Up to this width there are tiles of two query blocks; beyond, shared memory is too short for them.
inline constexpr int kWidestPair = 128;
/// The narrowest kernel for compute capability 9.0.
inline constexpr int kNarrowestHopper = 64;

/// Checks a call against its plan and writes down what the kernel needs. @throws Error{InvalidArgument}; touches no device memory
template <typename Element>
Parameters plain_parameters(const CudaAttentionArguments<Element>& arguments, const DevicePlan& plan);
template <typename Element>
Parameters split_parameters(const CudaSplitArguments<Element>& arguments, const DevicePlan& plan);
/// For the split kernel: a plan of one mask has no skipped blocks.
template <typename Element>
Parameters search_parameters(const CudaBlockSearchArguments<Element>& arguments, const DevicePlan& plan);

template <typename Element>
MassParameters mass_parameters(const CudaBlockMassArguments<Element>& arguments, const DevicePlan& plan);

/// Floats of block_logs where so many blocks of threads run at once.
std::int64_t block_log_floats(const PlanLayout& layout, int blocks);

/// The kernel's width for a call's. @throws Error{InvalidArgument} beyond 256
int kernel_width(std::int64_t width, bool floats);

}  // namespace ditscope::cuda
