// On a GPU against the float64 oracle: scales and vectors of blocks in the epilogue, block masses, int8 logits. The same on the
// CPU, by executing the source: tests/kernels/cuda_*_test.cpp.
#include "kernels/cuda/block_mass.h"
#include "kernels/cuda/int8_attention.h"
#include "kernels/reference/block_mass.h"
#include "tests/gpu/device_fixture.h"
#include "tests/gpu/kernel_case.h"
#include "tests/kernels/random_mask.h"

namespace ditscope {
namespace {

using test::expect_below;
using test::KernelCase;
using test::mass_error;
using test::relative_norm;
using test::UploadedPlan;

template <typename Element>
class ShortCudaContracts : public ::testing::Test {
 protected:
  void SetUp() override {
    if (!cuda_available()) GTEST_SKIP() << "no GPU was found, or LibTorch's CUDA half could not be loaded";
    if (!cuda_attention_runs_here()) GTEST_SKIP() << "the kernels need a GPU of compute capability 8.0 or newer";
  }
  static constexpr double kOut = std::is_same_v<Element, float> ? 5e-6 : std::is_same_v<Element, Bfloat16Bits> ? 8e-3 : 1.5e-3;
};

using Elements = ::testing::Types<float, Bfloat16Bits, Float16Bits>;
TYPED_TEST_SUITE(ShortCudaContracts, Elements);

TYPED_TEST(ShortCudaContracts, ScaleBlocksAndAddTheirVectors) {
  constexpr int kTokens = 300, kBlocks = 5, kWidth = 72;
  for (const int tile_blocks : {1, 2}) {
    KernelCase<TypeParam> c(2, kTokens, kTokens, kWidth, 6);
    PlanOptions options;
    options.tile_blocks = tile_blocks_for<TypeParam>(kWidth, tile_blocks);
    const UploadedPlan plan(make_attention_plan(BlockMask::dense(kTokens, kTokens), 2, options));
    const at::Tensor scales = at::randn({2, kBlocks}).to(at::kCUDA), vectors = at::randn({2, kBlocks, kWidth}).to(at::kCUDA);
    auto a = c.arguments(plan);
    a.block_scale = test::device_view<const float, 2>(scales);
    a.block_vector = test::device_view<const float, 3>(vectors);
    a.residual = test::device_view<const TypeParam, 3>(c.residual);
    cuda_attention(a, plan.device(), nullptr);
    std::vector<double> wanted = c.expected([](int, int, int) { return true; }).out;
    const auto added = KernelCase<TypeParam>::doubles(c.residual), s = KernelCase<TypeParam>::doubles(scales),
               v = KernelCase<TypeParam>::doubles(vectors);
    for (std::size_t n = 0; n < wanted.size(); ++n) {
      const std::size_t row = n / kWidth, block = row / kTokens * kBlocks + row % kTokens / kBlockTokens;
      wanted[n] = s[block] * wanted[n] + v[block * kWidth + n % kWidth] + added[n];
    }
    expect_below("out_" + std::to_string(tile_blocks), relative_norm(KernelCase<TypeParam>::doubles(c.out), wanted), this->kOut);
  }
}

TYPED_TEST(ShortCudaContracts, AddUpBlockMasses) {
  std::mt19937 random(8);
  for (const int width : {64, 72, 128, 200}) {
    const int queries = 100 + static_cast<int>(random() % 300), keys = 100 + static_cast<int>(random() % 300);
    KernelCase<TypeParam> c(2, queries, keys, width, random());
    const BlockMask mask = width == 64 ? BlockMask::dense(queries, keys) : test::random_mask(random, 2, queries, keys);
    PlanOptions options;
    options.tile_blocks = tile_blocks_for<TypeParam>(width, 2);
    const UploadedPlan plan(make_attention_plan(mask, 2, options));
    const auto lse = c.expected([](int, int, int) { return true; }).log_sum_exp;
    c.log_sum_exp.copy_(at::tensor(lse).view({2, queries}));
    const at::Tensor mass =
        at::full({2, (queries + 63) / 64, (keys + 63) / 64}, 777.0, at::TensorOptions(at::kFloat).device(at::kCUDA));
    CudaBlockMassArguments<TypeParam> a;
    a.q = test::device_view<const TypeParam, 3>(c.q);
    a.k = test::device_view<const TypeParam, 3>(c.k);
    a.scale = static_cast<float>(c.scale);
    a.log_sum_exp = test::device_view<const float, 2>(c.log_sum_exp);
    a.mass = test::device_view<float, 3>(mass);
    cuda_block_mass(a, plan.device(), nullptr);
    const std::vector<double> expected = reference::block_mass(
        KernelCase<TypeParam>::doubles(c.q), KernelCase<TypeParam>::doubles(c.k), lse, 2, queries, keys, width, c.scale, 64,
        [&](int h, int i, int j) { return mask.keeps(h, i, j); }, [](int) { return 1.0; });
    expect_below("mass_" + std::to_string(width), relative_norm(KernelCase<TypeParam>::doubles(mass), expected), 1e-4);
  }
}

TYPED_TEST(ShortCudaContracts, SearchGivesAttentionAndTheMassOfEveryBlockInOnePass) {
  std::mt19937 random(10);
  for (const int width : {64, 72, 128, 200}) {
    for (const int wanted : {1, 2}) {
      const int queries = 100 + static_cast<int>(random() % 300), keys = 100 + static_cast<int>(random() % 300);
      KernelCase<TypeParam> c(2, queries, keys, width, random());
      const BlockMask mask = test::random_mask(random, 2, queries, keys);
      PlanOptions options;
      options.tile_blocks = tile_blocks_for<TypeParam>(width, wanted);
      const UploadedPlan plan(make_attention_plan(mask, 2, options));
      const at::TensorOptions floats = at::TensorOptions(at::kFloat).device(at::kCUDA);
      const at::Tensor mass = at::full({2, (queries + 63) / 64, (keys + 63) / 64}, 777.0, floats);
      const at::Tensor logs = at::full({cuda_block_log_floats<TypeParam>(plan.layout, width)}, NAN, floats);
      CudaBlockSearchArguments<TypeParam> a;
      const auto plain = c.arguments(plan);
      a.q = plain.q;
      a.k = plain.k;
      a.v = plain.v;
      a.scale = plain.scale;
      a.out = plain.out;
      a.log_sum_exp = plain.log_sum_exp;
      a.mass = test::device_view<float, 3>(mass);
      a.block_logs = logs.template data_ptr<float>();
      cuda_block_search(a, plan.device(), nullptr);
      const auto keeps = [&](int h, int i, int j) { return mask.keeps(h, i, j); };
      const auto expected = c.expected(keeps);
      const std::string name = std::to_string(width) + "_" + std::to_string(options.tile_blocks);
      expect_below("search_out_" + name, relative_norm(KernelCase<TypeParam>::doubles(c.out), expected.out), this->kOut);
      expect_below("search_lse_" + name, mass_error(KernelCase<TypeParam>::doubles(c.log_sum_exp), expected.log_sum_exp), 1e-3);
      expect_below("search_mass_" + name,
                   relative_norm(KernelCase<TypeParam>::doubles(mass),
                                 reference::block_mass(KernelCase<TypeParam>::doubles(c.q), KernelCase<TypeParam>::doubles(c.k),
                                                       expected.log_sum_exp, 2, queries, keys, width, c.scale, 64, keeps,
                                                       [](int) { return 1.0; })),
                   1e-4);
    }
  }
}

template <typename Element>
class ShortCudaInt8 : public ShortCudaContracts<Element> {};
using SixteenBits = ::testing::Types<Bfloat16Bits, Float16Bits>;
TYPED_TEST_SUITE(ShortCudaInt8, SixteenBits);

TYPED_TEST(ShortCudaInt8, IsNearAttentionOfTheUnroundedTokens) {
  std::mt19937 random(9);
  for (const int width : {40, 64, 72, 128}) {
    for (const int tile_blocks : {1, 2}) {
      const int queries = 100 + static_cast<int>(random() % 300), keys = 100 + static_cast<int>(random() % 300);
      KernelCase<TypeParam> c(2, queries, keys, width, random());
      const BlockMask mask = test::random_mask(random, 2, queries, keys);
      PlanOptions options;
      options.tile_blocks = tile_blocks;
      const UploadedPlan plan(make_attention_plan(mask, 2, options));
      Int8Options int8;
      int8.query_group_tokens = width == 64 ? 1 : 128;
      const at::Tensor scratch =
          at::empty({cuda_int8_scratch_bytes(plan.layout, width, int8)}, at::TensorOptions(at::kByte).device(at::kCUDA));
      cuda_int8_attention(c.arguments(plan), int8, plan.device(), scratch.data_ptr(), nullptr);
      const auto expected = c.expected([&](int h, int i, int j) { return mask.keeps(h, i, j); });
      const std::string name = std::to_string(width) + "_" + std::to_string(tile_blocks);
      expect_below("int8_out_" + name, relative_norm(KernelCase<TypeParam>::doubles(c.out), expected.out), 0.04);
      expect_below("int8_lse_" + name, mass_error(KernelCase<TypeParam>::doubles(c.log_sum_exp), expected.log_sum_exp), 0.05);
    }
  }
}

}  // namespace
}  // namespace ditscope
