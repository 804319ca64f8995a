// The float32 kernels of one width; compiled once for each (cmake/CudaKernels.cmake).
#include "kernels/cuda/float_attention.h"
#include "kernels/cuda/kernel_launch.cuh"

namespace ditscope::cuda {

extern __shared__ __align__(1024) unsigned char shared_memory[];

template <class Shape, bool kSplit>
__global__ void __launch_bounds__(Shape::kThreads) float_attention(const __grid_constant__ Parameters parameters) {
  FloatAttention<Shape, kSplit>(parameters, shared_memory).run();
}

template <class Shape, bool kSplit>
int launch_shape(const Parameters* p, void* stream) {
  constexpr auto kKernel = float_attention<Shape, kSplit>;
  if (p) launch_queue<kKernel>(*p, p->item_count, Shape::kThreads, Shape::kSharedBytes, stream);
  return p ? 0 : resident_blocks<kKernel>(Shape::kThreads, Shape::kSharedBytes);
}

template <int kWidth>
int launch_floats(const Parameters* p, bool split, void* stream) {
  using Shape = FloatTileShape<kWidth>;
  return split ? launch_shape<Shape, true>(p, stream) : launch_shape<Shape, false>(p, stream);
}

template int launch_floats<DITSCOPE_WIDTH>(const Parameters*, bool, void*);

}  // namespace ditscope::cuda
