#include <cstdlib>
#include <cstring>

#include "kernels/cuda/attention.h"
#include "kernels/cuda/block_mass.h"
#include "kernels/cuda/kernel_launch.cuh"

namespace ditscope {

bool cuda_attention_uses_hopper(std::int64_t width, int tile_blocks) {
#ifdef DITSCOPE_HOPPER
  static const bool wanted = [] {
    const char* value = std::getenv("DITSCOPE_HOPPER");
    return value && std::strcmp(value, "1") == 0;
  }();
  int device = 0, major = 0, minor = 0;
  return wanted && tile_blocks == 2 && width <= cuda::kWidestPair && cudaGetDevice(&device) == cudaSuccess &&
         cudaDeviceGetAttribute(&major, cudaDevAttrComputeCapabilityMajor, device) == cudaSuccess &&
         cudaDeviceGetAttribute(&minor, cudaDevAttrComputeCapabilityMinor, device) == cudaSuccess && major == 9 && minor == 0;
#else
  (void)width, (void)tile_blocks;
  return false;
#endif
}

namespace cuda {
namespace {

/// The kernel for a width; without parameters, how many of its blocks run at once.
template <typename Element>
int launch(const Parameters* p, std::int64_t width, int tile_blocks, bool split, void* stream) {
  if constexpr (std::is_same_v<Element, float>) {
    if (tile_blocks != 1)
      throw Error(ErrorKind::Unsupported, "expected tiles of one query block in float32, got two; ask tile_blocks_for()");
    switch (kernel_width(width, true)) {
      case 64:
        return launch_floats<64>(p, split, stream);
      case 128:
        return launch_floats<128>(p, split, stream);
      default:
        return launch_floats<256>(p, split, stream);
    }
  } else {
    if (tile_blocks_for<Element>(width, tile_blocks) != tile_blocks) {
      throw Error(ErrorKind::Unsupported, "expected tiles of one query block for a width of " + std::to_string(width) +
                                              ", got two; ask tile_blocks_for()");
    }
#ifdef DITSCOPE_HOPPER
    if (cuda_attention_uses_hopper(width, tile_blocks) && (!p || p->keys > 0)) {
      switch (kernel_width(width, false)) {
        case 32:
        case 64:
          return launch_hopper<Element, 64>(p, split, stream);
        case 80:
          return launch_hopper<Element, 80>(p, split, stream);
        case 96:
          return launch_hopper<Element, 96>(p, split, stream);
        default:
          return launch_hopper<Element, 128>(p, split, stream);
      }
    }
#endif
    switch (kernel_width(width, false)) {
      case 32:
        return launch_tiles<Element, 32>(p, tile_blocks, split, stream);
      case 64:
        return launch_tiles<Element, 64>(p, tile_blocks, split, stream);
      case 80:
        return launch_tiles<Element, 80>(p, tile_blocks, split, stream);
      case 96:
        return launch_tiles<Element, 96>(p, tile_blocks, split, stream);
      case 128:
        return launch_tiles<Element, 128>(p, tile_blocks, split, stream);
      default:
        return launch_tiles<Element, 256>(p, tile_blocks, split, stream);
    }
  }
}

}  // namespace
}  // namespace cuda

template <typename Element>
void cuda_attention(const CudaAttentionArguments<Element>& arguments, const DevicePlan& plan, void* stream) {
  const cuda::Parameters p = cuda::plain_parameters(arguments, plan);
  cuda::launch<Element>(&p, p.width, plan.layout.tile_blocks, false, stream);
}

template <typename Element>
void cuda_split_attention(const CudaSplitArguments<Element>& arguments, const DevicePlan& plan, void* stream) {
  const cuda::Parameters p = cuda::split_parameters(arguments, plan);
  cuda::launch<Element>(&p, p.width, plan.layout.tile_blocks, true, stream);
}

template <typename Element>
void cuda_block_search(const CudaBlockSearchArguments<Element>& arguments, const DevicePlan& plan, void* stream) {
  const cuda::Parameters p = cuda::search_parameters(arguments, plan);
  cuda::launch<Element>(&p, p.width, plan.layout.tile_blocks, true, stream);
}

template <typename Element>
std::int64_t cuda_block_log_floats(const PlanLayout& layout, std::int64_t width) {
  return cuda::block_log_floats(layout, cuda::launch<Element>(nullptr, width, layout.tile_blocks, true, nullptr));
}

template std::int64_t cuda_block_log_floats<float>(const PlanLayout&, std::int64_t);
template std::int64_t cuda_block_log_floats<Bfloat16Bits>(const PlanLayout&, std::int64_t);
template std::int64_t cuda_block_log_floats<Float16Bits>(const PlanLayout&, std::int64_t);
template void cuda_block_search(const CudaBlockSearchArguments<float>&, const DevicePlan&, void*);
template void cuda_block_search(const CudaBlockSearchArguments<Bfloat16Bits>&, const DevicePlan&, void*);
template void cuda_block_search(const CudaBlockSearchArguments<Float16Bits>&, const DevicePlan&, void*);
template void cuda_attention(const CudaAttentionArguments<float>&, const DevicePlan&, void*);
template void cuda_attention(const CudaAttentionArguments<Bfloat16Bits>&, const DevicePlan&, void*);
template void cuda_attention(const CudaAttentionArguments<Float16Bits>&, const DevicePlan&, void*);
template void cuda_split_attention(const CudaSplitArguments<float>&, const DevicePlan&, void*);
template void cuda_split_attention(const CudaSplitArguments<Bfloat16Bits>&, const DevicePlan&, void*);
template void cuda_split_attention(const CudaSplitArguments<Float16Bits>&, const DevicePlan&, void*);

bool cuda_attention_runs_here() {
  int device = 0, major = 0;
  const bool found = cudaGetDevice(&device) == cudaSuccess &&
                     cudaDeviceGetAttribute(&major, cudaDevAttrComputeCapabilityMajor, device) == cudaSuccess;
  (void)cudaGetLastError();
  return found && major >= 8;
}

int cuda_attention_workers(std::int64_t width, int tile_blocks) {
  return cuda::launch<Bfloat16Bits>(nullptr, width, tile_blocks, false, nullptr);
}

}  // namespace ditscope
