// The source of the kernels of block masses, executed on the CPU, against the float64 oracle.
#include <gtest/gtest.h>

#include <algorithm>

#include "kernels/cuda/launch.h"
#include "kernels/cuda/mass_attention.h"
#include "kernels/error.h"
#include "kernels/reference/block_mass.h"
#include "tests/kernels/cuda_case.h"
#include "tests/kernels/random_mask.h"

namespace ditscope {
namespace {

using cuda::MassParameters;
using test::CudaCase;
using test::placed;

template <class Kernel, class Shape>
void launch(const MassParameters& p, bool backwards) {
  gpu::Machine::run(std::min(2, p.common.item_count), Shape::kThreads, Shape::kSharedBytes, backwards,
                    [&](unsigned char* shared) { Kernel(p, shared).run(); });
}

}  // namespace

template <typename Element>
void test::run_emulated_mass(const MassParameters& p, bool backwards) {
  const int width = cuda::kernel_width(p.common.width, std::is_same_v<Element, float>);
  if constexpr (std::is_same_v<Element, float>) {
    if (width == 64) return launch<cuda::FloatMass<cuda::FloatTileShape<64>>, cuda::FloatTileShape<64>>(p, backwards);
    if (width == 128) return launch<cuda::FloatMass<cuda::FloatTileShape<128>>, cuda::FloatTileShape<128>>(p, backwards);
    launch<cuda::FloatMass<cuda::FloatTileShape<256>>, cuda::FloatTileShape<256>>(p, backwards);
  } else {
    if (width <= 64) return launch<cuda::TileMass<Element, cuda::TileShape<64, 2>>, cuda::TileShape<64, 2>>(p, backwards);
    if (width <= 128) return launch<cuda::TileMass<Element, cuda::TileShape<128, 2>>, cuda::TileShape<128, 2>>(p, backwards);
    launch<cuda::TileMass<Element, cuda::TileShape<256, 1>>, cuda::TileShape<256, 1>>(p, backwards);
  }
}

template void test::run_emulated_mass<float>(const MassParameters&, bool);
template void test::run_emulated_mass<Bfloat16Bits>(const MassParameters&, bool);
template void test::run_emulated_mass<Float16Bits>(const MassParameters&, bool);

namespace {

template <typename Element>
class CudaBlockMass : public ::testing::Test {};
using Elements = ::testing::Types<float, Bfloat16Bits, Float16Bits>;
TYPED_TEST_SUITE(CudaBlockMass, Elements);

TYPED_TEST(CudaBlockMass, AgreesWithTheOracleOnRandomShapes) {
  std::mt19937 random(41);
  constexpr bool kFloats = std::is_same_v<TypeParam, float>;
  const int widths[] = {8, 64, 72, 128, kFloats ? 31 : 40, 200};
  for (int round = 0; round < 9; ++round) {
    const int heads = 1 + round % 2, width = widths[round % 6];
    const int queries = round == 6 ? 1 : 1 + static_cast<int>(random() % 290),
              keys = round == 7 ? 1 : 1 + static_cast<int>(random() % 290);
    CudaCase<TypeParam> c(heads, queries, keys, width, random(), !kFloats || round % 2 == 0);
    if (round % 4 == 2) c.scale = -c.scale;
    const BlockMask mask = round % 3 == 0 ? BlockMask::dense(queries, keys) : test::random_mask(random, heads, queries, keys);
    std::vector<double> lse = c.expected([](int, int, int) { return true; }).log_sum_exp;
    for (std::size_t i = 0; i < lse.size(); ++i) {
      lse[i] += i % 3 == 0 ? 0.4 : -0.2;  // of an earlier step
      if (i % 13 == 7) lse[i] = -std::numeric_limits<double>::infinity();
      c.log_sum_exp[i] = static_cast<float>(lse[i]);
    }
    PlanOptions options;
    options.tile_blocks = tile_blocks_for<TypeParam>(width, 2);
    AttentionPlan plan = make_attention_plan(mask, heads, options);
    const std::int64_t rows = (queries + 63) / 64, columns = (keys + 63) / 64;
    std::vector<float> mass(static_cast<std::size_t>(heads * rows * columns), 777.0f);
    CudaBlockMassArguments<TypeParam> a;
    a.q = c.q.constant();
    a.k = c.k.constant();
    a.scale = c.scale;
    a.log_sum_exp = c.template rows<const float>(c.log_sum_exp);
    a.mass = {mass.data(), {heads, rows, columns}, {rows * columns, columns, 1}};
    const MassParameters p = cuda::mass_parameters(a, placed(plan));
    test::run_emulated_mass<TypeParam>(p, round % 2 == 1);
    const std::vector<double> expected = reference::block_mass(
        c.q.doubles(), c.k.doubles(), lse, heads, queries, keys, width, c.scale, 64,
        [&](int h, int i, int j) { return mask.keeps(h, i, j); }, [](int) { return 1.0; });
    const std::vector<double> actual(mass.begin(), mass.end());
    EXPECT_LT(test::relative_error(actual, expected), 1e-5) << "round " << round << " width " << width;
    for (std::size_t n = 0; n < mass.size(); ++n) {
      if (expected[n] == 0) {
        ASSERT_EQ(mass[n], 0) << "a block that is skipped";
      }
    }
    EXPECT_EQ(p.common.counters[0], 0);
    EXPECT_EQ(p.common.counters[1], 0);
  }
}

TEST(CudaBlockMass, SaysWhatItExpected) {
  CudaCase<float> c(1, 70, 70, 16, 1);
  std::vector<float> mass(4);
  const auto refusal = [&](const PlanOptions& options, std::int64_t columns, bool lse) -> std::string {
    AttentionPlan plan = make_attention_plan(BlockMask::dense(70, 70), 1, options);
    CudaBlockMassArguments<float> a;
    a.q = c.q.constant();
    a.k = c.k.constant();
    if (lse) a.log_sum_exp = c.rows<const float>(c.log_sum_exp);
    a.mass = {mass.data(), {1, 2, columns}, {4, 2, 1}};
    try {
      cuda::mass_parameters(a, placed(plan));
    } catch (const Error& error) {
      return error.what();
    }
    return "";
  };
  EXPECT_EQ(refusal({1, 0}, 2, true), "");
  EXPECT_NE(refusal({2, 0}, 2, true).find("whole tiles of 1 query blocks"), std::string::npos);
  EXPECT_NE(refusal({1, 1}, 2, true).find("whole tiles"), std::string::npos);
  EXPECT_NE(refusal({1, 0}, 1, true).find("mass of shape (1,2,2), got (1,2,1)"), std::string::npos);
  EXPECT_NE(refusal({1, 0}, 2, false).find("log_sum_exp to have data"), std::string::npos);
}

}  // namespace
}  // namespace ditscope
