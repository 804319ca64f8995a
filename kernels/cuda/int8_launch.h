#pragma once
#include "kernels/cuda/int8_attention.h"
#include "kernels/cuda/parameters.h"
#include "kernels/cuda/quantise.h"

namespace ditscope::cuda {

/// What the kernels of an int8 call are launched with, in this order: sums and mean of the keys (only with smoothing), keys,
/// queries, attention.
struct Int8Launch {
  QuantiseParameters keys, queries;
  Parameters attention;
  bool smooth;
};

/// Checks a call and shares out its scratch memory. @throws Error{InvalidArgument}; touches no device memory
template <typename Element>
Int8Launch int8_launch(const CudaAttentionArguments<Element>& arguments, const Int8Options& options, const DevicePlan& plan,
                       void* scratch);

/// The kernel's width for a call's: 64 or 128. @throws Error{InvalidArgument} beyond
int int8_kernel_width(std::int64_t width);

}  // namespace ditscope::cuda
