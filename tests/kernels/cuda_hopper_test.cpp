// The kernels for compute capability 9.0 on the CPU: their barriers, boxes, descriptors and fragments, against the float64
// oracle. The emulation reads PTX as we do: it shows that the source agrees with that reading, not that a GPU does.
#include <gtest/gtest.h>

#include "kernels/cuda/hopper/hopper_attention.h"
#include "kernels/cuda/launch.h"
#include "tests/kernels/cuda_case.h"
#include "tests/kernels/random_mask.h"

namespace ditscope::test {
namespace {

/// As hopper_kernels.cu describes tensors to the copy engine.
gpu::TensorMap map_of(const void* data, const cuda::Strides3& strides, const cuda::Parameters& p) {
  return {static_cast<const std::uint16_t*>(data), p.width, p.keys, p.heads, strides.token, strides.head};
}

template <typename Element, int kWidth, bool kSplit>
void launch(const cuda::HopperParameters& p, bool backwards) {
  using Shape = cuda::HopperShape<kWidth>;
  gpu::Machine::run(std::min(2, p.common.item_count), Shape::kThreads, Shape::kSharedBytes, backwards,
                    [&](unsigned char* shared) { cuda::HopperAttention<Element, Shape, kSplit>(p, shared).run(); });
}

}  // namespace

template <typename Element, bool kSplit>
void run_emulated_hopper(const cuda::Parameters& common, bool backwards) {
  const cuda::HopperParameters p{common, map_of(common.k, common.k_strides, common), map_of(common.v, common.v_strides, common)};
  switch (cuda::kernel_width(common.width, false)) {
    case 32:
    case 64:
      return launch<Element, 64, kSplit>(p, backwards);
    case 80:
      return launch<Element, 80, kSplit>(p, backwards);
    case 96:
      return launch<Element, 96, kSplit>(p, backwards);
    default:
      return launch<Element, 128, kSplit>(p, backwards);
  }
}

template void run_emulated_hopper<Bfloat16Bits, false>(const cuda::Parameters&, bool);
template void run_emulated_hopper<Bfloat16Bits, true>(const cuda::Parameters&, bool);
template void run_emulated_hopper<Float16Bits, false>(const cuda::Parameters&, bool);
template void run_emulated_hopper<Float16Bits, true>(const cuda::Parameters&, bool);

}  // namespace ditscope::test

namespace ditscope {
namespace {

using test::CudaCase;
using test::expect_equal;
using test::placed;
using test::run_emulated_hopper;

template <typename Element>
class HopperEmulation : public ::testing::Test {};
using NarrowElements = ::testing::Types<Bfloat16Bits, Float16Bits>;
TYPED_TEST_SUITE(HopperEmulation, NarrowElements);

TYPED_TEST(HopperEmulation, AgreesWithTheOracleOnRandomShapes) {
  std::mt19937 random(41);
  constexpr int widths[] = {64, 72, 96, 128, 16, 88};
  for (int round = 0; round < 6; ++round) {
    const int heads = 1 + round % 2, width = widths[round], queries = round == 2 ? 1 : 1 + static_cast<int>(random() % 190);
    const int keys = round == 3 ? 1 : 200 + static_cast<int>(random() % 250);
    CudaCase<TypeParam> c(heads, queries, keys, width, random(), true, round == 5 ? 11 : 0);
    if (round == 2) c.scale = -c.scale;
    const BlockMask mask = round == 0 ? BlockMask::dense(queries, keys) : test::random_mask(random, heads, queries, keys);
    PlanOptions options;
    options.tile_blocks = 2;
    options.most_entries = round == 1 || round == 4 ? 2 : 0;
    AttentionPlan plan = make_attention_plan(mask, heads, options);
    std::vector<float> parts(static_cast<std::size_t>(part_floats(plan.layout, width)), NAN);
    auto a = c.arguments();
    a.parts = parts.data();
    const cuda::Parameters p = cuda::plain_parameters(a, placed(plan));
    run_emulated_hopper<TypeParam, false>(p, round % 2 == 1);
    expect_equal(c, mask, "round " + std::to_string(round) + " width " + std::to_string(width), round == 5);
    EXPECT_EQ(p.counters[0], 0);
    EXPECT_EQ(p.counters[1], 0);
  }
}

TYPED_TEST(HopperEmulation, ABlockThatSkipsWhatItsNeighbourKeepsRunsNotAhead) {
  MaskDescription d;  // the first query block keeps one key block, the second all others
  d.queries = 128;
  d.keys = 1024;
  d.lists = 1;
  d.block_offsets = {0, 1, 16};
  d.key_blocks = {7, 0, 1, 2, 3, 4, 5, 6, 8, 9, 10, 11, 12, 13, 14, 15};
  const BlockMask mask(d);
  CudaCase<TypeParam> c(1, 128, 1024, 64, 3);
  PlanOptions options;
  options.tile_blocks = 2;
  AttentionPlan plan = make_attention_plan(mask, 1, options);
  const auto a = c.arguments();
  for (const bool backwards : {false, true}) {
    run_emulated_hopper<TypeParam, false>(cuda::plain_parameters(a, placed(plan)), backwards);
    expect_equal(c, mask, "lists apart");
  }
}

TYPED_TEST(HopperEmulation, SplitsFullAttentionIntoWhatIsKeptAndTheRest) {
  std::mt19937 random(42);
  for (int round = 0; round < 2; ++round) {
    const int tokens = 190 + round, width = round == 0 ? 72 : 128;
    CudaCase<TypeParam> c(1, tokens, tokens, width, random());
    const BlockMask mask = test::random_mask(random, 1, tokens, tokens), rest = mask.complement();
    PlanOptions options;
    options.tile_blocks = 2;
    AttentionPlan plan = make_attention_plan(mask, 1, options, &rest);
    test::BlockMasses masses(c, plan, 2);
    auto a = c.split_arguments(round == 1);
    a.block_mass = masses.view();
    a.block_logs = masses.logs.data();
    run_emulated_hopper<TypeParam, true>(cuda::split_parameters(a, placed(plan)), round == 1);
    expect_equal(c, BlockMask::dense(tokens, tokens), "full half");
    test::expect_residual(c, mask, round == 1, "round " + std::to_string(round));
    masses.expect_exact(c, [](int, int, int) { return true; }, true, "round " + std::to_string(round));
  }
}

}  // namespace
}  // namespace ditscope
