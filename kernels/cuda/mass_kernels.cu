// The kernels of block masses of one type; compiled once for each (cmake/CudaKernels.cmake).
#include "kernels/cuda/block_mass.h"
#include "kernels/cuda/kernel_launch.cuh"
#include "kernels/cuda/mass_attention.h"

namespace ditscope {
namespace cuda {

extern __shared__ __align__(1024) unsigned char shared_memory[];

template <class Kernel, int kThreads>
__global__ void __launch_bounds__(kThreads) block_mass(const __grid_constant__ MassParameters parameters) {
  Kernel(parameters, shared_memory).run();
}

namespace {

template <class Kernel, class Shape>
void launch(const MassParameters& p, void* stream) {
  launch_queue<block_mass<Kernel, Shape::kThreads>>(p, p.common.item_count, Shape::kThreads, Shape::kSharedBytes, stream);
}

template <typename Element, int kWidth>
void launch_width(const MassParameters& p, void* stream) {
  if constexpr (std::is_same_v<Element, float>) {
    using Shape = FloatTileShape<kWidth>;
    launch<FloatMass<Shape>, Shape>(p, stream);
  } else {
    using Shape = TileShape<kWidth, kWidth <= kWidestPair ? 2 : 1>;
    launch<TileMass<Element, Shape>, Shape>(p, stream);
  }
}

}  // namespace
}  // namespace cuda

template <typename Element>
void cuda_block_mass(const CudaBlockMassArguments<Element>& arguments, const DevicePlan& plan, void* stream) {
  const cuda::MassParameters p = cuda::mass_parameters(arguments, plan);
  constexpr bool kFloats = std::is_same_v<Element, float>;
  switch (cuda::kernel_width(p.common.width, kFloats)) {
    case 32:
    case 64:
      return cuda::launch_width<Element, 64>(p, stream);
    case 80:
    case 96:
    case 128:
      return cuda::launch_width<Element, 128>(p, stream);
    default:
      return cuda::launch_width<Element, 256>(p, stream);
  }
}

template void cuda_block_mass(const CudaBlockMassArguments<DITSCOPE_ELEMENT>&, const DevicePlan&, void*);

}  // namespace ditscope
