#include <gtest/gtest.h>
#include <ATen/ATen.h>
#include <c10/core/GradMode.h>

#include <vector>

#include "core/vae/layers.h"
#include "core/vae/norm_silu.h"
#include "core/vae/reused_memory.h"

namespace ditscope::vae {
namespace {

GroupNorm random_norm(int64_t channels, int64_t groups, double eps, at::ScalarType dtype) {
  GroupNorm norm;
  norm.weight = (1 + 0.3 * at::randn({channels})).to(dtype);
  norm.bias = (0.3 * at::randn({channels})).to(dtype);
  norm.groups = groups;
  norm.eps = eps;
  return norm;
}

struct Shape {
  int64_t batch, channels, groups, frames, rows, columns, z_frames, z_rows, z_columns;
};

TEST(NormSilu, IsGroupNormGainOffsetAndSiluInOne) {
  at::manual_seed(3);
  const std::vector<Shape> shapes{{1, 16, 8, 8, 8, 12, 2, 2, 3}, {2, 20, 5, 9, 4, 6, 3, 2, 3}, {1, 6, 2, 1, 5, 7, 1, 5, 7},
                                  {1, 48, 4, 5, 16, 2, 3, 8, 1},  {3, 1, 1, 3, 1, 1, 3, 1, 1}};
  const c10::NoGradGuard no_grad;
  for (const Shape& s : shapes) {
    for (const bool is_spatial : {false, true}) {
      for (const auto dtype : {at::kFloat, at::kBFloat16}) {
        const GroupNorm norm = random_norm(s.channels, s.groups, 1e-6, dtype);
        const at::Tensor f = (at::randn({s.batch, s.channels, s.frames, s.rows, s.columns}) + 40).to(dtype);
        at::Tensor gain, offset, expected = at::group_norm(f.to(at::kDouble), s.groups, norm.weight.to(at::kDouble),
                                                           norm.bias.to(at::kDouble), norm.eps);
        if (is_spatial) {
          gain = at::randn({s.batch, s.channels, s.z_frames, s.z_rows, s.z_columns}).to(dtype);
          offset = at::randn({s.batch, s.channels, s.z_frames, s.z_rows, s.z_columns}).to(dtype);
          std::vector<int64_t> source(s.frames);  // the latent of each frame: an odd count has one first frame of its own
          const int64_t lead = s.frames > 1 && s.frames % 2 == 1;
          for (int64_t t = lead; t < s.frames; ++t) source[t] = lead + (t - lead) / ((s.frames - lead) / (s.z_frames - lead));
          const auto stretched = [&](const at::Tensor& z) {
            return z.to(at::kDouble).index_select(2, at::tensor(source)).repeat_interleave(s.rows / s.z_rows, 3)
                .repeat_interleave(s.columns / s.z_columns, 4);
          };
          expected = expected * stretched(gain) + stretched(offset);
        }
        expected = at::silu(expected);
        ASSERT_TRUE(can_fuse_norm_silu(f));
        const at::Tensor got = norm_silu(norm, f, gain, offset, 2);
        ASSERT_EQ(got.size(2), s.frames + 2);
        const double error = (got.narrow(2, 2, s.frames).to(at::kDouble) - expected).abs().max().item<double>();
        EXPECT_LT(error / expected.abs().max().item<double>(), dtype == at::kFloat ? 2e-5 : 5e-3)
            << "channels " << s.channels << " frames " << s.frames << " spatial " << is_spatial;
      }
    }
  }
}

TEST(NormSilu, KeepsExtremeValuesFinite) {
  const c10::NoGradGuard no_grad;
  GroupNorm norm = random_norm(2, 1, 1e-6, at::kFloat);
  norm.weight = at::tensor({1e4f, -1e4f});
  const at::Tensor out = norm_silu(norm, at::randn({1, 2, 1, 4, 4}), {}, {}, 0);
  EXPECT_TRUE(out.isfinite().all().item<bool>());
  EXPECT_GE(out.min().item<float>(), -0.3f);
}

TEST(NormSilu, IsNotUsedWhereGradientsAreWanted) {
  EXPECT_FALSE(can_fuse_norm_silu(at::zeros({1, 2, 1, 4, 4})));
  const c10::NoGradGuard no_grad;
  EXPECT_TRUE(can_fuse_norm_silu(at::zeros({1, 2, 1, 4, 4})));
  EXPECT_FALSE(can_fuse_norm_silu(at::zeros({1, 2, 1, 4, 4}, at::kDouble)));
}

TEST(Conv3d, InSpansOfFramesIsTheSame) {
  at::manual_seed(4);
  Conv3d conv;
  conv.weight = at::randn({4, 3, 3, 3, 3});
  conv.bias = at::randn({4});
  const at::Tensor x = at::randn({2, 3, 9, 5, 6}), whole = conv(x);
  EXPECT_EQ(whole.size(2), 7);
  for (const int64_t span : {1, 2, 3, 6, 7, 8}) EXPECT_TRUE(at::allclose(conv.in_spans(x, span), whole, 1e-5, 1e-5)) << span;
}

TEST(Upsample, IsNearestNeighbourThenConvolution) {
  at::manual_seed(5);
  Upsample upsample;
  upsample.weight = at::randn({4, 4, 3, 3});
  upsample.bias = at::randn({4});
  const at::Tensor x = at::randn({2, 4, 3, 5, 6});
  const at::Tensor frames = at::upsample_nearest2d(x.transpose(1, 2).flatten(0, 1), {10, 12});
  const at::Tensor expected = at::conv2d(frames, upsample.weight, upsample.bias, {1, 1}, {1, 1}).unflatten(0, {2, 3}).transpose(1, 2);
  EXPECT_TRUE(at::allclose(upsample(x), expected, 1e-4, 1e-4));
  upsample.doubles_time = true;
  EXPECT_TRUE(at::allclose(upsample(x), expected.index_select(2, at::tensor(std::vector<int64_t>{0, 1, 1, 2, 2})), 1e-4, 1e-4));
}

TEST(ReusedMemory, GivesFreedTensorsMemoryToTheNext) {
  const int64_t count = 3 << 20;
  const ReusedMemory memory;
  at::Tensor first = at::empty({count});
  const void* place = first.const_data_ptr();
  first.reset();
  const at::Tensor second = at::empty({count - 1000});
  EXPECT_EQ(second.const_data_ptr(), place);
  const at::Tensor third = at::empty({count});
  EXPECT_NE(third.const_data_ptr(), place);
}

TEST(ReusedMemory, LetsTensorsOutliveIt) {
  at::Tensor survivor, resized = at::ones({10});
  {
    const ReusedMemory outer;
    {
      const ReusedMemory inner;
      survivor = at::full({2 << 20}, 7.0f);
      resized.resize_({2 << 20});
    }
    survivor = survivor + 1;
  }
  EXPECT_EQ(survivor.sum().item<float>(), 8.0f * (2 << 20));
  EXPECT_EQ(resized[9].item<float>(), 1.0f);
  survivor.resize_({4 << 20});
  EXPECT_EQ(survivor[0].item<float>(), 8.0f);
}

}  // namespace
}  // namespace ditscope::vae
