// The int8 kernels of one 16-bit type; compiled once for each (cmake/CudaKernels.cmake).
#include "kernels/cuda/int8_launch.h"
#include "kernels/cuda/kernel_launch.cuh"
#include "kernels/cuda/tile_attention.h"

namespace ditscope {
namespace cuda {

extern __shared__ __align__(1024) unsigned char shared_memory[];

/// As of the 16-bit kernels: registers for as many threads of a processor as this.
constexpr int kThreadsAtOnce = 256;

template <typename Element, class Shape>
__global__ void __launch_bounds__(Shape::kThreads, kThreadsAtOnce / Shape::kThreads)
    int8_attention(const __grid_constant__ Parameters parameters) {
  TileAttention<Element, Shape, false>(parameters, shared_memory).run();
}

template <class Kernel>
__global__ void __launch_bounds__(kQuantiseThreads) quantise(const __grid_constant__ QuantiseParameters parameters) {
  Kernel(parameters, shared_memory).run();
}

namespace {

template <class Kernel>
void run_tasks(const QuantiseParameters& p, std::int64_t tasks, void* stream) {
  launch_queue<quantise<Kernel>>(p, static_cast<int>(tasks), kQuantiseThreads, sizeof(float) * kQuantiseThreads, stream);
}

template <typename Element>
void quantise_tokens(const QuantiseParameters& p, void* stream) {
  run_tasks<Quantise<Element>>(p, std::int64_t{p.heads} * ((p.tokens + p.group_tokens - 1) / p.group_tokens), stream);
}

template <typename Element, int kWidth, int kTileBlocks>
void attend(const Parameters& p, void* stream) {
  using Shape = TileShape<kWidth, kTileBlocks, true>;
  launch_queue<int8_attention<Element, Shape>>(p, p.item_count, Shape::kThreads, Shape::kSharedBytes, stream);
}

}  // namespace
}  // namespace cuda

template <typename Element>
void cuda_int8_attention(const CudaAttentionArguments<Element>& arguments, const Int8Options& options, const DevicePlan& plan,
                         void* scratch, void* stream) {
  const cuda::Int8Launch launch = cuda::int8_launch(arguments, options, plan, scratch);
  if (launch.smooth) {
    const std::int64_t pieces = (launch.keys.tokens + cuda::kSumTokens - 1) / cuda::kSumTokens;
    cuda::run_tasks<cuda::KeySums<Element>>(launch.keys, launch.keys.heads * pieces, stream);
    cuda::run_tasks<cuda::KeyMean>(launch.keys, launch.keys.heads, stream);
  }
  cuda::quantise_tokens<Element>(launch.keys, stream);
  cuda::quantise_tokens<Element>(launch.queries, stream);
  const bool pairs = plan.layout.tile_blocks == 2;
  if (cuda::int8_kernel_width(launch.attention.width) == 64)
    pairs ? cuda::attend<Element, 64, 2>(launch.attention, stream) : cuda::attend<Element, 64, 1>(launch.attention, stream);
  else
    pairs ? cuda::attend<Element, 128, 2>(launch.attention, stream) : cuda::attend<Element, 128, 1>(launch.attention, stream);
}

template void cuda_int8_attention(const CudaAttentionArguments<DITSCOPE_ELEMENT>&, const Int8Options&, const DevicePlan&, void*,
                                  void*);

}  // namespace ditscope
