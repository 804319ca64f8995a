// The source of the CUDA kernels, executed on the CPU by kernels/cuda/gpu_emulated.h, against the float64 oracle: index
// arithmetic, fragment layouts, barriers and pipelines of what a GPU gets from nvcc.
#include <gtest/gtest.h>

#include "kernels/cuda/float_attention.h"
#include "kernels/cuda/launch.h"
#include "kernels/cuda/tile_attention.h"
#include "kernels/error.h"
#include "tests/kernels/cuda_case.h"
#include "tests/kernels/random_mask.h"

namespace ditscope::test {
namespace {

template <class Kernel>
void launch(const cuda::Parameters& p, std::size_t shared_bytes, int threads, bool backwards) {
  gpu::Machine::run(std::min(2, p.item_count), threads, shared_bytes, backwards,
                    [&](unsigned char* shared) { Kernel(p, shared).run(); });
}

template <typename Element, int kWidth, bool kSplit>
void launch_width(const cuda::Parameters& p, int tile_blocks, bool backwards) {
  if constexpr (std::is_same_v<Element, float>) {
    using Shape = cuda::FloatTileShape<kWidth>;
    launch<cuda::FloatAttention<Shape, kSplit>>(p, Shape::kSharedBytes, Shape::kThreads, backwards);
  } else if constexpr (kWidth > cuda::kWidestPair) {
    using Shape = cuda::TileShape<kWidth, 1>;
    launch<cuda::TileAttention<Element, Shape, kSplit>>(p, Shape::kSharedBytes, Shape::kThreads, backwards);
  } else if (tile_blocks == 1) {
    using Shape = cuda::TileShape<kWidth, 1>;
    launch<cuda::TileAttention<Element, Shape, kSplit>>(p, Shape::kSharedBytes, Shape::kThreads, backwards);
  } else {
    using Shape = cuda::TileShape<kWidth, 2>;
    launch<cuda::TileAttention<Element, Shape, kSplit>>(p, Shape::kSharedBytes, Shape::kThreads, backwards);
  }
}

}  // namespace

template <typename Element, bool kSplit>
void run_emulated(const cuda::Parameters& p, int tile_blocks, bool backwards) {
  constexpr bool kFloats = std::is_same_v<Element, float>;
  switch (cuda::kernel_width(p.width, kFloats)) {
    case 32:
      if constexpr (!kFloats) launch_width<Element, 32, kSplit>(p, tile_blocks, backwards);
      break;
    case 64:
      launch_width<Element, 64, kSplit>(p, tile_blocks, backwards);
      break;
    case 80:
      if constexpr (!kFloats) launch_width<Element, 80, kSplit>(p, tile_blocks, backwards);
      break;
    case 96:
      if constexpr (!kFloats) launch_width<Element, 96, kSplit>(p, tile_blocks, backwards);
      break;
    case 128:
      launch_width<Element, 128, kSplit>(p, tile_blocks, backwards);
      break;
    default:
      launch_width<Element, 256, kSplit>(p, tile_blocks, backwards);
  }
}

template void run_emulated<float, false>(const cuda::Parameters&, int, bool);
template void run_emulated<float, true>(const cuda::Parameters&, int, bool);
template void run_emulated<Bfloat16Bits, false>(const cuda::Parameters&, int, bool);
template void run_emulated<Bfloat16Bits, true>(const cuda::Parameters&, int, bool);
template void run_emulated<Float16Bits, false>(const cuda::Parameters&, int, bool);
template void run_emulated<Float16Bits, true>(const cuda::Parameters&, int, bool);

}  // namespace ditscope::test

namespace ditscope {
namespace {

using cuda::Parameters;
using test::CudaCase;
using test::expect_equal;
using test::narrow;
using test::placed;
using test::run_emulated;
using test::Tolerance;
using test::widen;

template <typename Element>
class CudaEmulation : public ::testing::Test {};
using Elements = ::testing::Types<float, Bfloat16Bits, Float16Bits>;
TYPED_TEST_SUITE(CudaEmulation, Elements);

TYPED_TEST(CudaEmulation, AgreesWithTheOracleOnRandomShapes) {
  std::mt19937 random(21);
  constexpr bool kFloats = std::is_same_v<TypeParam, float>;
  const int widths[] = {8, 32, 40, 64, 72, 88, 96, 128, kFloats ? 31 : 16, 200, 256, kFloats ? 1 : 24};
  for (int round = 0; round < 12; ++round) {
    const int heads = 1 + static_cast<int>(random() % 2), width = widths[round % 12];
    const int queries = round % 7 == 6 ? 1 : 1 + static_cast<int>(random() % 190);
    const int keys = round % 5 == 4 ? 1 : 1 + static_cast<int>(random() % 190);
    const bool outliers = round % 4 == 3, aligned = !kFloats || (width % 8 == 0 && round % 6 != 5);
    CudaCase<TypeParam> c(heads, queries, keys, width, random(), aligned, outliers ? 11 : 0);
    if (round % 8 == 6) c.scale = -c.scale;
    const BlockMask mask = round % 3 == 0 ? BlockMask::dense(queries, keys) : test::random_mask(random, heads, queries, keys);
    PlanOptions options;
    options.tile_blocks = tile_blocks_for<TypeParam>(width, 1 + round / 2 % 2);
    AttentionPlan plan = make_attention_plan(mask, heads, options);
    const DevicePlan device = placed(plan);
    const Parameters p = cuda::plain_parameters(c.arguments(), device);
    run_emulated<TypeParam, false>(p, options.tile_blocks, round % 2 == 1);
    const std::string what = "round " + std::to_string(round) + ": heads " + std::to_string(heads) + " queries " +
                             std::to_string(queries) + " keys " + std::to_string(keys) + " width " + std::to_string(width);
    expect_equal(c, mask, what, outliers);
    EXPECT_EQ(p.counters[0], 0) << what;
    EXPECT_EQ(p.counters[1], 0) << what;
  }
}

TYPED_TEST(CudaEmulation, WritesNothingBesideItsRows) {
  CudaCase<TypeParam> c(2, 70, 70, 24, 5);
  AttentionPlan plan = make_attention_plan(BlockMask::dense(70, 70), 2);
  run_emulated<TypeParam, false>(cuda::plain_parameters(c.arguments(), placed(plan)), 1);
  std::vector<bool> own(c.out.storage.size());
  for (int h = 0; h < 2; ++h)
    for (int t = 0; t < 70; ++t)
      for (int x = 0; x < 24; ++x) own[static_cast<std::size_t>(&c.out.at(h, t, x) - c.out.storage.data())] = true;
  const float poison = widen(narrow<TypeParam>(777));
  for (std::size_t i = 0; i < own.size(); ++i) {
    if (!own[i]) {
      ASSERT_EQ(widen(c.out.storage[i]), poison);
    }
  }
}

TYPED_TEST(CudaEmulation, AddsResidualAndScalesRowsInTheEpilogue) {
  for (const bool aligned : {true, !std::is_same_v<TypeParam, float>}) {
    CudaCase<TypeParam> c(2, 130, 130, 40, 6, aligned);
    MaskDescription d;
    d.queries = d.keys = 130;
    d.spans_per_row = 1;
    for (int i = 0; i < 130; ++i) d.spans.push_back(i == 77 ? TokenSpan{0, 0} : TokenSpan{0, 100});
    const BlockMask mask(d);
    AttentionPlan plan = make_attention_plan(mask, 2);
    run_emulated<TypeParam, false>(cuda::plain_parameters(c.arguments(), placed(plan)), 1);
    const auto expected = c.expected([&](int h, int i, int j) { return mask.keeps(h, i, j); }).out;
    // In place: the residual is the output.
    std::vector<double> before = c.residual.doubles();
    CudaAttentionArguments<TypeParam> a = c.arguments();
    a.row_scale = c.template rows<const float>(c.row_scale);
    a.out = c.residual.view;
    a.residual = c.residual.constant();
    run_emulated<TypeParam, false>(cuda::plain_parameters(a, placed(plan)), 1);
    std::vector<double> wanted;
    for (std::size_t n = 0; n < expected.size(); ++n) wanted.push_back(c.row_scale[n / 40] * expected[n] + before[n]);
    EXPECT_LT(test::relative_error(c.residual.doubles(), wanted), Tolerance<TypeParam>::kOut);
    for (int x = 0; x < 40; ++x) EXPECT_EQ(widen(c.residual.at(1, 77, x)), before[static_cast<std::size_t>((130 + 77) * 40 + x)]);
  }
}

TYPED_TEST(CudaEmulation, ScalesBlocksAndAddsTheirVectorsInTheEpilogue) {
  for (const int tile_blocks : {1, 2}) {
    for (const int width : {24, 136}) {
      constexpr int kTokens = 170, kBlocks = 3;
      CudaCase<TypeParam> c(2, kTokens, kTokens, width, 16);
      const BlockMask mask = BlockMask::dense(kTokens, kTokens);
      PlanOptions options;
      options.tile_blocks = tile_blocks_for<TypeParam>(width, tile_blocks);
      AttentionPlan plan = make_attention_plan(mask, 2, options);
      std::mt19937 random(17);
      std::normal_distribution<float> normal;
      std::vector<float> scales(2 * kBlocks), vectors(static_cast<std::size_t>(2 * kBlocks * width * 2));
      for (float& value : scales) value = normal(random);
      for (float& value : vectors) value = normal(random);
      CudaAttentionArguments<TypeParam> a = c.arguments();
      a.row_scale = c.template rows<const float>(c.row_scale);
      a.residual = c.residual.constant();
      a.block_scale = {scales.data(), {2, kBlocks}, {kBlocks, 1}};
      a.block_vector = {vectors.data(), {2, kBlocks, width}, {kBlocks * width * 2, width * 2, 2}};
      run_emulated<TypeParam, false>(cuda::plain_parameters(a, placed(plan)), options.tile_blocks);
      std::vector<double> wanted = c.expected([](int, int, int) { return true; }).out;
      const std::vector<double> residual = c.residual.doubles();
      for (int h = 0; h < 2; ++h)
        for (int t = 0; t < kTokens; ++t)
          for (int x = 0; x < width; ++x) {
            const auto n = static_cast<std::size_t>((h * kTokens + t) * width + x);
            const int block = h * kBlocks + t / kBlockTokens;
            wanted[n] = static_cast<double>(c.row_scale[static_cast<std::size_t>(h * kTokens + t)]) *
                            scales[static_cast<std::size_t>(block)] * wanted[n] +
                        vectors[static_cast<std::size_t>((block * width + x) * 2)] + residual[n];
          }
      EXPECT_LT(test::relative_error(c.out.doubles(), wanted), Tolerance<TypeParam>::kOut) << width << " " << tile_blocks;
    }
  }
}

TYPED_TEST(CudaEmulation, SplitsFullAttentionIntoWhatIsKeptAndTheRest) {
  std::mt19937 random(9);
  for (int round = 0; round < 8; ++round) {
    const bool unit_rho = round % 2 == 1, aligned = !std::is_same_v<TypeParam, float> || round % 4 != 3;
    const int tokens = 100 + static_cast<int>(random() % 90), width = round % 3 == 0 ? 72 : round % 3 == 1 ? 24 : 136;
    CudaCase<TypeParam> c(2, tokens, tokens, width, random(), aligned);
    const BlockMask mask = round == 4   ? BlockMask::dense(tokens, tokens)
                           : round == 5 ? BlockMask::dense(tokens, tokens).complement()
                                        : test::random_mask(random, 2, tokens, tokens);
    const BlockMask rest = mask.complement();
    PlanOptions options;
    options.tile_blocks = tile_blocks_for<TypeParam>(width, 1 + round / 2 % 2);
    AttentionPlan plan = make_attention_plan(mask, 2, options, &rest);
    run_emulated<TypeParam, true>(cuda::split_parameters(c.split_arguments(unit_rho), placed(plan)), options.tile_blocks,
                                round % 2 == 0);
    expect_equal(c, BlockMask::dense(tokens, tokens), "full half, round " + std::to_string(round));
    test::expect_residual(c, mask, unit_rho, "round " + std::to_string(round));
  }
}

TYPED_TEST(CudaEmulation, SplitWithoutAResidualStillGivesFullAttention) {
  std::mt19937 random(10);
  CudaCase<TypeParam> c(1, 150, 150, 64, 3);
  const BlockMask mask = test::random_mask(random, 1, 150, 150), rest = mask.complement();
  AttentionPlan plan = make_attention_plan(mask, 1, {}, &rest);
  CudaSplitArguments<TypeParam> a = c.split_arguments(false);
  a.residual = {};
  run_emulated<TypeParam, true>(cuda::split_parameters(a, placed(plan)), 1);
  expect_equal(c, BlockMask::dense(150, 150), "no residual");
}

TYPED_TEST(CudaEmulation, SplitMapsTheMassOfEveryBlock) {
  std::mt19937 random(12);
  constexpr int widths[] = {72, 24, 136, 64};
  for (int round = 0; round < 4; ++round) {
    const int queries = 70 + static_cast<int>(random() % 120), keys = 150 + static_cast<int>(random() % 120);
    CudaCase<TypeParam> c(2, queries, keys, widths[round], random());
    if (round == 1) c.scale = -c.scale;
    const BlockMask mask = test::random_mask(random, 2, queries, keys), rest = mask.complement();
    PlanOptions options;
    options.tile_blocks = tile_blocks_for<TypeParam>(c.width, 1 + round % 2);
    AttentionPlan plan = make_attention_plan(mask, 2, options, &rest);
    test::BlockMasses masses(c, plan, 2);
    CudaSplitArguments<TypeParam> a = c.split_arguments(false);
    a.block_mass = masses.view();
    a.block_logs = masses.logs.data();
    run_emulated<TypeParam, true>(cuda::split_parameters(a, placed(plan)), options.tile_blocks, round % 2 == 0);
    const std::string what = "round " + std::to_string(round);
    expect_equal(c, BlockMask::dense(queries, keys), what);
    test::expect_residual(c, mask, false, what);
    masses.expect_exact(c, [](int, int, int) { return true; }, true, what);
  }
}

TYPED_TEST(CudaEmulation, SearchGivesAttentionAndTheMassOfEveryBlockInOnePass) {
  std::mt19937 random(13);
  constexpr int widths[] = {64, 88, 200, 32, 128};
  for (int round = 0; round < 5; ++round) {
    const int queries = round == 3 ? 1 : 70 + static_cast<int>(random() % 120), keys = 70 + static_cast<int>(random() % 190);
    CudaCase<TypeParam> c(1 + round % 2, queries, keys, widths[round], random(), true, round == 4 ? 11 : 0);
    const BlockMask mask = round == 0   ? BlockMask::dense(queries, keys)
                           : round == 2 ? BlockMask::dense(queries, keys).complement()
                                        : test::random_mask(random, c.heads, queries, keys);
    PlanOptions options;
    options.tile_blocks = tile_blocks_for<TypeParam>(c.width, 1 + round / 2 % 2);
    AttentionPlan plan = make_attention_plan(mask, c.heads, options);
    test::BlockMasses masses(c, plan, 2);
    CudaBlockSearchArguments<TypeParam> a;
    a.q = c.q.constant();
    a.k = c.k.constant();
    a.v = c.v.constant();
    a.scale = c.scale;
    a.out = c.out.view;
    a.log_sum_exp = c.template rows<float>(c.log_sum_exp);
    a.mass = masses.view();
    a.block_logs = masses.logs.data();
    const Parameters p = cuda::search_parameters(a, placed(plan));
    run_emulated<TypeParam, true>(p, options.tile_blocks, round % 2 == 1);
    const std::string what = "round " + std::to_string(round);
    expect_equal(c, mask, what, round == 4);
    masses.expect_exact(c, [&](int h, int i, int j) { return mask.keeps(h, i, j); }, false, what);
    EXPECT_EQ(p.counters[0], 0);
    EXPECT_EQ(p.counters[1], 0);
  }
}

TYPED_TEST(CudaEmulation, LogitsFarApartNeitherOverflowNorVanish) {
  CudaCase<TypeParam> c(1, 70, 200, 16, 8);
  for (int j = 0; j < 200; ++j) c.k.at(0, j, 0) = narrow<TypeParam>(static_cast<float>(j));  // the maximum grows with every block
  for (int i = 0; i < 70; ++i) c.q.at(0, i, 0) = narrow<TypeParam>(i % 2 ? 50.0f : -50.0f);
  for (const float scale : {c.scale, -c.scale}) {
    c.scale = scale;
    AttentionPlan plan = make_attention_plan(BlockMask::dense(70, 200), 1);
    run_emulated<TypeParam, false>(cuda::plain_parameters(c.arguments(), placed(plan)), 1);
    expect_equal(c, BlockMask::dense(70, 200), "logits from -2500 to 2500", true);
  }
}

TYPED_TEST(CudaEmulation, AScaleOfZeroMeansTheKeptKeysAlike) {
  CudaCase<TypeParam> c(1, 20, 100, 16, 8);
  c.scale = 0;
  std::mt19937 random(2);
  const BlockMask mask = test::random_mask(random, 1, 20, 100);
  AttentionPlan plan = make_attention_plan(mask, 1);
  run_emulated<TypeParam, false>(cuda::plain_parameters(c.arguments(), placed(plan)), 1);
  expect_equal(c, mask, "scale 0");
}

template <typename Element>
class CudaDivided : public ::testing::Test {};
using NarrowElements = ::testing::Types<Bfloat16Bits, Float16Bits>;
TYPED_TEST_SUITE(CudaDivided, NarrowElements);

TYPED_TEST(CudaDivided, TilesGiveWhatWholeOnesGive) {
  std::mt19937 random(31);
  for (const int tile_blocks : {1, 2}) {
    CudaCase<TypeParam> c(2, 150, 700, 72, random());
    const BlockMask mask = test::random_mask(random, 2, 150, 700);
    PlanOptions options;
    options.tile_blocks = tile_blocks;
    options.most_entries = 3;
    AttentionPlan plan = make_attention_plan(mask, 2, options);
    ASSERT_GT(plan.layout.divided_tiles, 0);
    std::vector<float> parts(static_cast<std::size_t>(part_floats(plan.layout, 72)), NAN);
    CudaAttentionArguments<TypeParam> a = c.arguments();
    a.parts = parts.data();
    const Parameters p = cuda::plain_parameters(a, placed(plan));
    for (int launch = 0; launch < 2; ++launch) {  // the tickets are ready again
      c.out.poison();
      run_emulated<TypeParam, false>(p, tile_blocks, launch == 1);
      expect_equal(c, mask, "launch " + std::to_string(launch));
    }
  }
}

TEST(CudaArguments, ShapesThatDisagreeAreRefused) {
  const auto refused = [](const std::function<void(CudaAttentionArguments<float>&)>& spoil) {
    CudaCase<float> c(2, 70, 80, 16, 1);
    AttentionPlan plan = make_attention_plan(BlockMask::dense(70, 80), 2);
    CudaAttentionArguments<float> a = c.arguments();
    spoil(a);
    EXPECT_THROW(cuda::plain_parameters(a, placed(plan)), Error);
  };
  refused([](auto& a) { a.k.shape[1] = 79; });
  refused([](auto& a) { a.v.shape[2] = 15; });
  refused([](auto& a) { a.out.shape[0] = 1; });
  refused([](auto& a) { a.log_sum_exp.shape[1] = 69; });
  refused([](auto& a) { a.q.data = nullptr; });
  refused([](auto& a) { a.scale = NAN; });
  refused([](auto& a) { a.q.shape[2] = a.k.shape[2] = a.v.shape[2] = a.out.shape[2] = 257; });
  CudaCase<Bfloat16Bits> crooked(2, 70, 80, 16, 1, false);
  AttentionPlan dense = make_attention_plan(BlockMask::dense(70, 80), 2);
  EXPECT_THROW(cuda::plain_parameters(crooked.arguments(), placed(dense)), Error) << "16-bit rows that are not aligned";
  CudaCase<float> c(2, 70, 80, 16, 1);
  const BlockMask mask = BlockMask::dense(70, 80), rest = mask.complement();
  AttentionPlan split = make_attention_plan(mask, 2, {}, &rest);
  EXPECT_THROW(cuda::plain_parameters(c.arguments(), placed(split)), Error);
  AttentionPlan plain = make_attention_plan(mask, 2);
  EXPECT_THROW(cuda::split_parameters(c.split_arguments(false), placed(plain)), Error);
}

TEST(CudaEmulator, ReportsThreadsThatMissABarrier) {
  EXPECT_THROW(gpu::Machine::run(1, 64, 64, false,
                                 [](unsigned char*) {
                                   if (gpu::thread() != 5) gpu::sync_block();
                                 }),
               std::logic_error);
  EXPECT_THROW(gpu::Machine::run(1, 32, 64, false,
                                 [](unsigned char*) {
                                   if (gpu::thread() < 16)
                                     gpu::sync_warp();
                                   else
                                     gpu::any(true);
                                 }),
               std::logic_error);
}

TEST(CudaEmulator, AnAsynchronousCopyLandsWhenItIsWaitedFor) {
  alignas(16) const int source[4] = {1, 2, 3, 4};
  gpu::Machine::run(1, 32, 64, false, [&](unsigned char* shared) {
    int* to = reinterpret_cast<int*>(shared);
    if (gpu::thread() == 0) gpu::copy_async(gpu::shared_address(to), source, 16);
    gpu::commit_copies();
    if (gpu::thread() == 0) {
      EXPECT_NE(to[1], 2);
    }
    gpu::wait_copies<0>();
    gpu::sync_block();
    EXPECT_EQ(to[1], 2);
  });
}

}  // namespace
}  // namespace ditscope
