#include <gtest/gtest.h>

#include <cmath>
#include <functional>
#include <limits>

#include "core/metrics/psnr.h"
#include "core/metrics/ssim.h"
#include "kernels/error.h"
#include "tests/core/media/pictures.h"

namespace ditscope {
namespace {

using test::flat;
using test::noise;
using test::waves;

ErrorKind kind_of(const std::function<void()>& call) {
  try {
    call();
  } catch (const Error& error) {
    return error.kind();
  }
  return ErrorKind::Cancelled;
}

/// SSIM of one frame by its definition: for each window position the weighted moments around the weighted means, no
/// separability, float64.
double naive_ssim(const Frames& a, const Frames& b, int index) {
  double weights[11][11], total = 0;
  for (int y = 0; y < 11; ++y) {
    for (int x = 0; x < 11; ++x) total += weights[y][x] = std::exp(-((y - 5) * (y - 5) + (x - 5) * (x - 5)) / 4.5);
  }
  double sum = 0;
  long positions = 0;
  for (int top = 0; top + 11 <= a.height; ++top) {
    for (int left = 0; left + 11 <= a.width; ++left) {
      for (int c = 0; c < 3; ++c) {
        const auto at = [&](const Frames& f, int y, int x) {
          return static_cast<double>(f.frame(index)[((top + y) * f.width + left + x) * 3 + c]);
        };
        double mean_a = 0, mean_b = 0, var_a = 0, var_b = 0, covariance = 0;
        for (int y = 0; y < 11; ++y) {
          for (int x = 0; x < 11; ++x) {
            mean_a += weights[y][x] / total * at(a, y, x);
            mean_b += weights[y][x] / total * at(b, y, x);
          }
        }
        for (int y = 0; y < 11; ++y) {
          for (int x = 0; x < 11; ++x) {
            const double w = weights[y][x] / total, da = at(a, y, x) - mean_a, db = at(b, y, x) - mean_b;
            var_a += w * da * da;
            var_b += w * db * db;
            covariance += w * da * db;
          }
        }
        sum += (2 * mean_a * mean_b + 1e-4) * (2 * covariance + 9e-4) /
               ((mean_a * mean_a + mean_b * mean_b + 1e-4) * (var_a + var_b + 9e-4));
        ++positions;
      }
    }
  }
  return sum / static_cast<double>(positions);
}

TEST(Psnr, IsTwentyDecibelForAUniformDifferenceOfATenth) {
  const Psnr result = psnr(flat(2, 4, 4, 0.6f, 0.4f, 0.2f), flat(2, 4, 4, 0.5f, 0.5f, 0.3f));
  EXPECT_NEAR(result.mean_db, 20.0, 1e-5);
  EXPECT_NEAR(result.min_db, 20.0, 1e-5);
  EXPECT_NEAR(result.pooled_db, 20.0, 1e-5);
  EXPECT_EQ(result.per_frame_db.size(), 2u);
}

TEST(Psnr, OfEqualVideosIsTheFloorOfOneHundredDecibel) {
  const Frames video = noise(3, 7, 5, 1);
  EXPECT_DOUBLE_EQ(psnr(video, video).mean_db, 100.0);
}

TEST(Psnr, MeanAndPooledDifferWhenOneFrameIsWorse) {
  const Frames reference = flat(2, 8, 8, 0.5f, 0.5f, 0.5f);
  Frames video = reference;
  for (std::size_t i = 0; i < video.frame_size(); ++i) video.frame(1)[i] += 0.1f;
  const Psnr result = psnr(video, reference);
  EXPECT_NEAR(result.per_frame_db[0], 100.0, 1e-9);
  EXPECT_NEAR(result.per_frame_db[1], 20.0, 1e-4);
  EXPECT_NEAR(result.mean_db, 60.0, 1e-4);
  EXPECT_NEAR(result.min_db, 20.0, 1e-4);
  EXPECT_NEAR(result.pooled_db, 10 * std::log10(1 / 0.005), 1e-4);
}

TEST(Psnr, MeetsTheDefinitionOnRandomVideos) {
  const Frames a = noise(2, 13, 9, 3), b = noise(2, 13, 9, 4);
  for (int f = 0; f < 2; ++f) {
    long double sum = 0;
    for (std::size_t i = 0; i < a.frame_size(); ++i) {
      const long double d = static_cast<long double>(a.frame(f)[i]) - b.frame(f)[i];
      sum += d * d;
    }
    EXPECT_NEAR(psnr(a, b).per_frame_db[f], static_cast<double>(-10 * std::log10(sum / a.frame_size())), 1e-10);
  }
}

TEST(Psnr, KeepsNanInsteadOfCallingItEqual) {
  Frames video = flat(1, 4, 4, 0.5f, 0.5f, 0.5f);
  const Frames reference = video;
  video.rgb[3] = std::numeric_limits<float>::quiet_NaN();
  EXPECT_TRUE(std::isnan(psnr(video, reference).mean_db));
  EXPECT_TRUE(std::isnan(psnr(video, reference).min_db));
}

TEST(Psnr, BandsFollowTheirLimits) {
  EXPECT_EQ(psnr_band(30), "near-identical");
  EXPECT_EQ(psnr_band(29.99), "close");
  EXPECT_EQ(psnr_band(24.99), "visible");
  EXPECT_EQ(psnr_band(19.99), "diverged");
}

TEST(Metrics, RefuseVideosOfDifferentShapesAndEmptyOnes) {
  const Frames a = noise(2, 16, 16, 1);
  EXPECT_EQ(kind_of([&] { psnr(a, noise(3, 16, 16, 1)); }), ErrorKind::InvalidArgument);
  EXPECT_EQ(kind_of([&] { ssim(a, noise(2, 16, 15, 1)); }), ErrorKind::InvalidArgument);
  EXPECT_EQ(kind_of([&] { psnr(Frames{}, Frames{}); }), ErrorKind::InvalidArgument);
  Frames broken = a;
  broken.rgb.pop_back();
  EXPECT_EQ(kind_of([&] { ssim(broken, a); }), ErrorKind::InvalidArgument);
}

TEST(Ssim, MeetsTheNaiveDefinitionOnRandomAndSmoothVideos) {
  const Frames a = noise(2, 19, 23, 5), b = noise(2, 19, 23, 6), c = waves(2, 19, 23);
  Frames near_c = c;
  for (std::size_t i = 0; i < near_c.rgb.size(); ++i) near_c.rgb[i] += 0.05f * (a.rgb[i] - 0.5f);
  for (int f = 0; f < 2; ++f) {
    EXPECT_NEAR(ssim(a, b).per_frame[f], naive_ssim(a, b, f), 1e-10);
    EXPECT_NEAR(ssim(near_c, c).per_frame[f], naive_ssim(near_c, c, f), 1e-10);
  }
}

TEST(Ssim, OfEqualVideosIsOne) { EXPECT_NEAR(ssim(waves(2, 32, 24), waves(2, 32, 24)).mean, 1.0, 1e-12); }

TEST(Ssim, OfFlatVideosIsTheLuminanceTermAlone) {
  const double expected = (2 * 0.25 * 0.75 + 1e-4) / (0.25 * 0.25 + 0.75 * 0.75 + 1e-4);
  EXPECT_NEAR(ssim(flat(1, 12, 12, 0.25f, 0.25f, 0.25f), flat(1, 12, 12, 0.75f, 0.75f, 0.75f)).mean, expected, 1e-9);
}

TEST(Ssim, OfAnInvertedPictureIsNegative) {
  const Frames a = noise(1, 24, 24, 9);
  Frames inverted = a;
  for (float& value : inverted.rgb) value = 1 - value;
  EXPECT_LT(ssim(a, inverted).mean, -0.5);
}

TEST(Ssim, GivesTheSameWithManyThreadsAsFrameByFrame) {
  const Frames a = waves(6, 256, 240);  // above the size from which threads help
  Frames b = a;
  for (std::size_t i = 0; i < b.rgb.size(); i += 7) b.rgb[i] *= 0.9f;
  const Ssim all = ssim(a, b);
  Frames one_a = waves(1, 256, 240), one_b = one_a;
  std::copy(a.frame(4), a.frame(4) + a.frame_size(), one_a.rgb.begin());
  std::copy(b.frame(4), b.frame(4) + b.frame_size(), one_b.rgb.begin());
  EXPECT_DOUBLE_EQ(all.per_frame[4], ssim(one_a, one_b).mean);
  EXPECT_LE(all.min, all.mean);
}

TEST(Ssim, RefusesFramesSmallerThanItsWindow) {
  EXPECT_EQ(kind_of([] { ssim(noise(1, 10, 40, 1), noise(1, 10, 40, 2)); }), ErrorKind::InvalidArgument);
}

}  // namespace
}  // namespace ditscope
