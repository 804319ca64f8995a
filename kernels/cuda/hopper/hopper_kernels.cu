// The kernels for compute capability 9.0 of one 16-bit type and one width; compiled once for each (cmake/CudaKernels.cmake).
#include "kernels/cuda/hopper/hopper_attention.h"
#include "kernels/cuda/kernel_launch.cuh"

namespace ditscope::cuda {

extern __shared__ __align__(1024) unsigned char shared_memory[];

template <typename Element, class Shape, bool kSplit>
__global__ void __launch_bounds__(Shape::kThreads, 1) hopper_attention(const __grid_constant__ HopperParameters parameters) {
  HopperAttention<Element, Shape, kSplit>(parameters, shared_memory).run();
}

namespace {

/// The driver's function that describes tensors to the copy engine.
decltype(&cuTensorMapEncodeTiled) encoder() {
  static const auto found = [] {
    void* function = nullptr;
    cudaDriverEntryPointQueryResult result{};
    check(cudaGetDriverEntryPointByVersion("cuTensorMapEncodeTiled", &function, 12000, cudaEnableDefault, &result),
          "describe tensors to its copy engine");
    if (!function)
      throw Error(ErrorKind::Device, "expected a driver with cuTensorMapEncodeTiled, got an older one; unset DITSCOPE_HOPPER");
    return reinterpret_cast<decltype(&cuTensorMapEncodeTiled)>(function);
  }();
  return found;
}

/// Boxes of 64 channels by 64 tokens, swizzled by 128 bytes; zeros beyond the tensor.
CUtensorMap map_of(const void* data, const Strides3& strides, const Parameters& p, CUtensorMapDataType type) {
  CUtensorMap map;
  const auto size = [](std::int64_t n) { return static_cast<cuuint64_t>(n); };
  const cuuint64_t sizes[] = {size(p.width), size(p.keys), size(p.heads)};
  const std::int64_t head_stride = p.heads > 1 ? strides.head : strides.token * p.keys;
  const cuuint64_t strides_bytes[] = {size(2 * strides.token), size(2 * head_stride)};
  const cuuint32_t box[] = {64, 64, 1}, steps[] = {1, 1, 1};
  const CUresult status =
      encoder()(&map, type, 3, const_cast<void*>(data), sizes, strides_bytes, box, steps, CU_TENSOR_MAP_INTERLEAVE_NONE,
                CU_TENSOR_MAP_SWIZZLE_128B, CU_TENSOR_MAP_L2_PROMOTION_L2_256B, CU_TENSOR_MAP_FLOAT_OOB_FILL_NONE);
  if (status != CUDA_SUCCESS) {
    throw Error(ErrorKind::Device, "expected keys and values that the copy engine can read, got error " + std::to_string(status) +
                                       " for their shape; unset DITSCOPE_HOPPER");
  }
  return map;
}

template <typename Element, class Shape, bool kSplit>
int launch_shape(const Parameters* p, void* stream) {
  constexpr auto kKernel = hopper_attention<Element, Shape, kSplit>;
  if (!p) return resident_blocks<kKernel>(Shape::kThreads, Shape::kSharedBytes);
  if (p->item_count == 0) return 0;
  const auto type = std::is_same_v<Element, Bfloat16Bits> ? CU_TENSOR_MAP_DATA_TYPE_BFLOAT16 : CU_TENSOR_MAP_DATA_TYPE_FLOAT16;
  const HopperParameters parameters{*p, map_of(p->k, p->k_strides, *p, type), map_of(p->v, p->v_strides, *p, type)};
  launch_queue<kKernel>(parameters, p->item_count, Shape::kThreads, Shape::kSharedBytes, stream);
  return 0;
}

}  // namespace

template <typename Element, int kWidth>
int launch_hopper(const Parameters* p, bool split, void* stream) {
  using Shape = HopperShape<kWidth>;
  return split ? launch_shape<Element, Shape, true>(p, stream) : launch_shape<Element, Shape, false>(p, stream);
}

template int launch_hopper<DITSCOPE_ELEMENT, DITSCOPE_WIDTH>(const Parameters*, bool, void*);

}  // namespace ditscope::cuda
