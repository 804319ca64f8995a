// The kernels of one 16-bit type and one width; compiled once for each (cmake/CudaKernels.cmake).
#include "kernels/cuda/kernel_launch.cuh"
#include "kernels/cuda/tile_attention.h"

namespace ditscope::cuda {

extern __shared__ __align__(1024) unsigned char shared_memory[];

/// Registers for as many threads of a processor as this: two blocks of two query blocks, or four of one.
constexpr int kThreadsAtOnce = 256;

template <typename Element, class Shape, bool kSplit>
__global__ void __launch_bounds__(Shape::kThreads, kThreadsAtOnce / Shape::kThreads)
    tile_attention(const __grid_constant__ Parameters parameters) {
  TileAttention<Element, Shape, kSplit>(parameters, shared_memory).run();
}

template <typename Element, class Shape, bool kSplit>
int launch_shape(const Parameters* p, void* stream) {
  constexpr auto kKernel = tile_attention<Element, Shape, kSplit>;
  if (p) launch_queue<kKernel>(*p, p->item_count, Shape::kThreads, Shape::kSharedBytes, stream);
  return p ? 0 : resident_blocks<kKernel>(Shape::kThreads, Shape::kSharedBytes);
}

template <typename Element, int kWidth>
int launch_tiles(const Parameters* p, int tile_blocks, bool split, void* stream) {
  if constexpr (kWidth <= kWidestPair) {
    using Pair = TileShape<kWidth, 2>;
    if (tile_blocks == 2)
      return split ? launch_shape<Element, Pair, true>(p, stream) : launch_shape<Element, Pair, false>(p, stream);
  }
  using Single = TileShape<kWidth, 1>;
  return split ? launch_shape<Element, Single, true>(p, stream) : launch_shape<Element, Single, false>(p, stream);
}

template int launch_tiles<DITSCOPE_ELEMENT, DITSCOPE_WIDTH>(const Parameters*, int, bool, void*);

}  // namespace ditscope::cuda
