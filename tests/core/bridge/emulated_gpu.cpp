// What ditscope_cuda_kernels offers, with its source executed on the CPU: the checks and parameters of a launch are the real ones,
// pointers are the CPU's. Widths up to 80 alone, which the tests have.
#include <algorithm>
#include <stdexcept>

#include "kernels/cuda/attention.h"
#include "kernels/cuda/block_mass.h"
#include "kernels/cuda/float_attention.h"
#include "kernels/cuda/int8_launch.h"
#include "kernels/cuda/launch.h"
#include "kernels/cuda/mass_attention.h"
#include "kernels/cuda/tile_attention.h"

namespace ditscope {
namespace {

constexpr int kBlocksAtOnce = 2;

template <class Kernel, class Shape, class Launch>
void run(const Launch& p, int items) {
  gpu::Machine::run(std::min(kBlocksAtOnce, items), Shape::kThreads, Shape::kSharedBytes, false,
                    [&](unsigned char* shared) { Kernel(p, shared).run(); });
}

template <typename Element, int kWidth, bool kSplit>
void run_tiles(const cuda::Parameters& p, int tile_blocks) {
  if (tile_blocks == 1)
    run<cuda::TileAttention<Element, cuda::TileShape<kWidth, 1>, kSplit>, cuda::TileShape<kWidth, 1>>(p, p.item_count);
  else
    run<cuda::TileAttention<Element, cuda::TileShape<kWidth, 2>, kSplit>, cuda::TileShape<kWidth, 2>>(p, p.item_count);
}

template <typename Element, bool kSplit>
void launch(const cuda::Parameters& p, int tile_blocks) {
  const int width = cuda::kernel_width(p.width, std::is_same_v<Element, float>);
  if constexpr (std::is_same_v<Element, float>) {
    if (tile_blocks != 1 || width != 64) throw std::logic_error("no such kernel here");
    run<cuda::FloatAttention<cuda::FloatTileShape<64>, kSplit>, cuda::FloatTileShape<64>>(p, p.item_count);
  } else {
    if (width == 32) return run_tiles<Element, 32, kSplit>(p, tile_blocks);
    if (width == 80) return run_tiles<Element, 80, kSplit>(p, tile_blocks);
    throw std::logic_error("no such kernel here");
  }
}

template <class Kernel>
void run_tasks(const cuda::QuantiseParameters& p) {
  gpu::Machine::run(kBlocksAtOnce, cuda::kQuantiseThreads, sizeof(float) * cuda::kQuantiseThreads, false,
                    [&](unsigned char* shared) { Kernel(p, shared).run(); });
}

}  // namespace

template <typename Element>
void cuda_attention(const CudaAttentionArguments<Element>& a, const DevicePlan& plan, void*) {
  launch<Element, false>(cuda::plain_parameters(a, plan), plan.layout.tile_blocks);
}
template <typename Element>
void cuda_split_attention(const CudaSplitArguments<Element>& a, const DevicePlan& plan, void*) {
  launch<Element, true>(cuda::split_parameters(a, plan), plan.layout.tile_blocks);
}
template <typename Element>
void cuda_block_search(const CudaBlockSearchArguments<Element>& a, const DevicePlan& plan, void*) {
  launch<Element, true>(cuda::search_parameters(a, plan), plan.layout.tile_blocks);
}
template <typename Element>
void cuda_block_mass(const CudaBlockMassArguments<Element>& a, const DevicePlan& plan, void*) {
  const cuda::MassParameters p = cuda::mass_parameters(a, plan);
  if constexpr (std::is_same_v<Element, float>)
    run<cuda::FloatMass<cuda::FloatTileShape<64>>, cuda::FloatTileShape<64>>(p, p.common.item_count);
  else if (p.common.width <= 64)
    run<cuda::TileMass<Element, cuda::TileShape<64, 2>>, cuda::TileShape<64, 2>>(p, p.common.item_count);
  else
    run<cuda::TileMass<Element, cuda::TileShape<128, 2>>, cuda::TileShape<128, 2>>(p, p.common.item_count);
}
template <typename Element>
std::int64_t cuda_block_log_floats(const PlanLayout& layout, std::int64_t) {
  return cuda::block_log_floats(layout, kBlocksAtOnce);
}
template <typename Element>
void cuda_int8_attention(const CudaAttentionArguments<Element>& a, const Int8Options& options, const DevicePlan& plan, void* scratch,
                         void*) {
  const cuda::Int8Launch all = cuda::int8_launch(a, options, plan, scratch);
  if (all.smooth) {
    run_tasks<cuda::KeySums<Element>>(all.keys);
    run_tasks<cuda::KeyMean>(all.keys);
  }
  run_tasks<cuda::Quantise<Element>>(all.keys);
  run_tasks<cuda::Quantise<Element>>(all.queries);
  const cuda::Parameters& p = all.attention;
  const auto attend = [&]<class Shape>(Shape) { run<cuda::TileAttention<Element, Shape, false>, Shape>(p, p.item_count); };
  const bool pairs = plan.layout.tile_blocks == 2;
  if (cuda::int8_kernel_width(p.width) == 64)
    pairs ? attend(cuda::TileShape<64, 2, true>{}) : attend(cuda::TileShape<64, 1, true>{});
  else
    pairs ? attend(cuda::TileShape<128, 2, true>{}) : attend(cuda::TileShape<128, 1, true>{});
}

#define DITSCOPE_EMULATE(Element)                                                                             \
  template void cuda_attention(const CudaAttentionArguments<Element>&, const DevicePlan&, void*);             \
  template void cuda_split_attention(const CudaSplitArguments<Element>&, const DevicePlan&, void*);           \
  template void cuda_block_search(const CudaBlockSearchArguments<Element>&, const DevicePlan&, void*);        \
  template void cuda_block_mass(const CudaBlockMassArguments<Element>&, const DevicePlan&, void*);            \
  template std::int64_t cuda_block_log_floats<Element>(const PlanLayout&, std::int64_t);
DITSCOPE_EMULATE(float)
DITSCOPE_EMULATE(Bfloat16Bits)
DITSCOPE_EMULATE(Float16Bits)
#undef DITSCOPE_EMULATE
template void cuda_int8_attention(const CudaAttentionArguments<Bfloat16Bits>&, const Int8Options&, const DevicePlan&, void*, void*);
template void cuda_int8_attention(const CudaAttentionArguments<Float16Bits>&, const Int8Options&, const DevicePlan&, void*, void*);

bool cuda_attention_runs_here() {
  return false;
}
bool cuda_attention_uses_hopper(std::int64_t, int) {
  return false;
}
int cuda_attention_workers(std::int64_t, int) {
  return kBlocksAtOnce;
}

}  // namespace ditscope
