// The attention kernels on a GPU against the float64 oracle: the cases of tests/kernels/cuda_emulation_test.cpp and larger ones.
// What compute-sanitizer walks is the suites whose names begin with Short.
#include "kernels/error.h"
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
class OnGpu : public ::testing::Test {
 protected:
  void SetUp() override {
    if (!cuda_available()) GTEST_SKIP() << "no GPU was found, or LibTorch's CUDA half could not be loaded";
    if (!cuda_attention_runs_here()) GTEST_SKIP() << "the kernels need a GPU of compute capability 8.0 or newer";
  }
  static constexpr double kOut = std::is_same_v<Element, float> ? 5e-6 : std::is_same_v<Element, Bfloat16Bits> ? 8e-3 : 1.5e-3;
  static constexpr double kMass = std::is_same_v<Element, float> ? 2e-5 : 1e-3;

  void expect_equal(const KernelCase<Element>& c, const BlockMask& mask, const std::string& what, double looser = 1) {
    const auto expected = c.expected([&](int h, int i, int j) { return mask.keeps(h, i, j); });
    expect_below(what + "_out", relative_norm(KernelCase<Element>::doubles(c.out), expected.out), kOut * looser);
    expect_below(what + "_lse", mass_error(KernelCase<Element>::doubles(c.log_sum_exp), expected.log_sum_exp), kMass * looser);
  }
  void random_shapes(int rounds, std::uint32_t seed) {
    std::mt19937 random(seed);
    constexpr int widths[] = {8, 32, 40, 64, 72, 88, 96, 128, 16, 200, 256, 24};
    for (int round = 0; round < rounds; ++round) {
      const int heads = 1 + static_cast<int>(random() % 3), width = widths[round % 12];
      const int queries = round % 7 == 6 ? 1 : 1 + static_cast<int>(random() % 300);
      const int keys = round % 5 == 4 ? 1 : 1 + static_cast<int>(random() % 300);
      const bool outliers = round % 4 == 3;
      KernelCase<Element> c(heads, queries, keys, width, random(), outliers ? 11 : 0);
      if (round % 8 == 6) c.scale = -c.scale;
      const BlockMask mask = round % 3 == 0 ? BlockMask::dense(queries, keys) : test::random_mask(random, heads, queries, keys);
      PlanOptions options;
      options.tile_blocks = tile_blocks_for<Element>(width, 1 + round / 2 % 2);
      options.most_entries = std::is_same_v<Element, float> || round % 5 != 2 ? 0 : 2;
      const UploadedPlan plan(make_attention_plan(mask, heads, options));
      cuda_attention(c.arguments(plan), plan.device(), nullptr);
      expect_equal(c, mask, "round_" + std::to_string(round), outliers ? 10 : 1);
    }
  }
  void splits(int rounds, std::uint32_t seed) {
    std::mt19937 random(seed);
    for (int round = 0; round < rounds; ++round) {
      const bool unit_rho = round % 2 == 1;
      const int tokens = 100 + static_cast<int>(random() % 300), width = round % 3 == 0 ? 72 : round % 3 == 1 ? 24 : 136;
      KernelCase<Element> c(2, tokens, tokens, width, random());
      const BlockMask mask = test::random_mask(random, 2, tokens, tokens), rest = mask.complement();
      PlanOptions options;
      options.tile_blocks = tile_blocks_for<Element>(width, 1 + round / 2 % 2);
      const UploadedPlan plan(make_attention_plan(mask, 2, options, &rest));
      cuda_split_attention(c.split_arguments(unit_rho), plan.device(), nullptr);
      const std::string name = "split_" + std::to_string(round);
      expect_equal(c, BlockMask::dense(tokens, tokens), name);
      const auto full = c.expected([](int, int, int) { return true; });
      const auto kept = c.expected([&](int h, int i, int j) { return mask.keeps(h, i, j); });
      std::vector<double> residual;
      for (std::size_t n = 0; n < full.out.size(); ++n) {
        const std::size_t row = n / static_cast<std::size_t>(width);
        const double rho = unit_rho ? 1 : std::exp(kept.log_sum_exp[row] - full.log_sum_exp[row]);
        residual.push_back(full.out[n] - rho * kept.out[n]);
      }
      expect_below(name + "_kept_lse", mass_error(KernelCase<Element>::doubles(c.log_sum_exp_kept), kept.log_sum_exp), kMass);
      expect_below(name + "_residual", relative_norm(KernelCase<Element>::doubles(c.residual), residual), 2 * kOut);
    }
  }
};

using Elements = ::testing::Types<float, Bfloat16Bits, Float16Bits>;

template <typename Element>
class ShortCudaKernels : public OnGpu<Element> {};
TYPED_TEST_SUITE(ShortCudaKernels, Elements);
TYPED_TEST(ShortCudaKernels, AgreeWithTheOracle) {
  this->random_shapes(12, 5);
}
TYPED_TEST(ShortCudaKernels, Split) {
  this->splits(4, 6);
}

template <typename Element>
class CudaKernels : public OnGpu<Element> {};
TYPED_TEST_SUITE(CudaKernels, Elements);

TYPED_TEST(CudaKernels, AgreeWithTheOracleOnRandomShapes) {
  this->random_shapes(72, 21);
}
TYPED_TEST(CudaKernels, SplitFullAttentionIntoWhatIsKeptAndTheRest) {
  this->splits(12, 9);
}

TYPED_TEST(CudaKernels, AddResidualAndScaleRowsInPlace) {
  KernelCase<TypeParam> c(2, 130, 130, 40, 6);
  MaskDescription d;
  d.queries = d.keys = 130;
  d.spans_per_row = 1;
  for (int i = 0; i < 130; ++i) d.spans.push_back(i == 77 ? TokenSpan{0, 0} : TokenSpan{0, 100});
  const BlockMask mask(d);
  const UploadedPlan plan(make_attention_plan(mask, 2));
  const auto expected = c.expected([&](int h, int i, int j) { return mask.keeps(h, i, j); }).out;
  const auto before = KernelCase<TypeParam>::doubles(c.residual), scales = KernelCase<TypeParam>::doubles(c.row_scale);
  auto a = c.arguments(plan);
  a.row_scale = test::device_view<const float, 2>(c.row_scale);
  a.out = test::device_view<TypeParam, 3>(c.residual);
  a.residual = test::device_view<const TypeParam, 3>(c.residual);
  cuda_attention(a, plan.device(), nullptr);
  const auto actual = KernelCase<TypeParam>::doubles(c.residual);
  std::vector<double> wanted;
  for (std::size_t n = 0; n < expected.size(); ++n) wanted.push_back(scales[n / 40] * expected[n] + before[n]);
  expect_below("out", relative_norm(actual, wanted), this->kOut);
  for (std::size_t x = 77 * 40; x < 78 * 40; ++x) EXPECT_EQ(actual[x], before[x]) << "an empty row is its residual";
}

/// 13 frames of 12 x 20 sites beside 50 text tokens, position-major, 4 heads: as the models call it, in one kernel launch of many
/// tiles, against LibTorch's masked attention in float64 on the GPU.
TYPED_TEST(CudaKernels, AgreeOnAVideoOfManyTiles) {
  constexpr int kText = 50, kFrames = 13, kSites = 240, kTokens = kText + kFrames * kSites, kHalf = 9;
  MaskDescription d;
  d.queries = d.keys = kTokens;
  d.spans_per_row = 1;
  d.always = {0, kText};
  at::Tensor kept = at::zeros({kTokens, kTokens}, at::kBool);
  for (int i = 0; i < kTokens; ++i) {
    const int site = (i - kText) / kFrames;
    const TokenSpan span =
        i < kText ? TokenSpan{0, kTokens}
                  : TokenSpan{kText + std::max(site - kHalf, 0) * kFrames, kText + std::min(site + kHalf + 1, kSites) * kFrames};
    d.spans.push_back(span);
    kept[i].slice(0, span.begin, span.end).fill_(true);
    kept[i].slice(0, 0, kText).fill_(true);
  }
  const BlockMask mask(d);
  for (const int width : {64, 72, 128}) {
    KernelCase<TypeParam> c(4, kTokens, kTokens, width, 77);
    const at::Tensor logits = (at::matmul(c.q.to(at::kDouble), c.k.to(at::kDouble).transpose(1, 2)) * c.scale)
                                  .masked_fill(kept.to(at::kCUDA).logical_not(), -INFINITY);
    const at::Tensor expected = at::matmul(at::softmax(logits, -1), c.v.to(at::kDouble)), mass = at::logsumexp(logits, -1);
    for (const int tile_blocks : {1, 2}) {
      for (const int most_entries : {0, 20}) {
        if (tile_blocks_for<TypeParam>(width, tile_blocks) != tile_blocks) continue;
        if (std::is_same_v<TypeParam, float> && most_entries > 0) continue;
        PlanOptions options;
        options.tile_blocks = tile_blocks;
        options.most_entries = most_entries;
        const UploadedPlan plan(make_attention_plan(mask, 4, options));
        cuda_attention(c.arguments(plan), plan.device(), nullptr);
        const std::string name =
            "width_" + std::to_string(width) + "_tile_" + std::to_string(tile_blocks) + "_most_" + std::to_string(most_entries);
        expect_below(name, test::relative_rms(c.out, expected), this->kOut);
        expect_below(name + "_lse", (c.log_sum_exp.to(at::kDouble) - mass).abs().max().template item<double>(), this->kMass);
      }
    }
  }
}

TYPED_TEST(CudaKernels, GiveTheSameBitsAgain) {
  std::mt19937 random(3);
  KernelCase<TypeParam> c(3, 700, 900, 64, 4);
  const BlockMask mask = test::random_mask(random, 3, 700, 900);
  PlanOptions options;
  options.most_entries = std::is_same_v<TypeParam, float> ? 0 : 3;
  const UploadedPlan plan(make_attention_plan(mask, 3, options));
  cuda_attention(c.arguments(plan), plan.device(), nullptr);
  const at::Tensor first = c.out.clone(), mass = c.log_sum_exp.clone();
  for (int round = 0; round < 10; ++round) {
    c.out.fill_(777);
    cuda_attention(c.arguments(plan), plan.device(), nullptr);
    EXPECT_TRUE(c.out.equal(first));
    EXPECT_TRUE(c.log_sum_exp.equal(mass));
  }
}

TYPED_TEST(CudaKernels, AreRecordedByACudaGraph) {
  std::mt19937 random(3);
  KernelCase<TypeParam> c(2, 300, 300, 64, 4);
  const BlockMask mask = test::random_mask(random, 2, 300, 300);
  const UploadedPlan plan(make_attention_plan(mask, 2));
  const auto a = c.arguments(plan);
  cudaStream_t stream = nullptr;
  cudaGraph_t graph = nullptr;
  cudaGraphExec_t ready = nullptr;
  ASSERT_EQ(cudaDeviceSynchronize(), cudaSuccess);
  ASSERT_EQ(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking), cudaSuccess);
  ASSERT_EQ(cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal), cudaSuccess);
  cuda_attention(a, plan.device(), stream);
  ASSERT_EQ(cudaStreamEndCapture(stream, &graph), cudaSuccess);
  ASSERT_EQ(cudaGraphInstantiate(&ready, graph, 0), cudaSuccess);
  for (int replay = 0; replay < 3; ++replay) {
    c.out.fill_(777);
    ASSERT_EQ(cudaDeviceSynchronize(), cudaSuccess);
    ASSERT_EQ(cudaGraphLaunch(ready, stream), cudaSuccess);
    ASSERT_EQ(cudaStreamSynchronize(stream), cudaSuccess);
    this->expect_equal(c, mask, "replay_" + std::to_string(replay));
  }
  cudaGraphExecDestroy(ready);
  cudaGraphDestroy(graph);
  cudaStreamDestroy(stream);
}

}  // namespace
}  // namespace ditscope
