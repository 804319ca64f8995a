#include "core/metrics/ssim.h"

#include <algorithm>
#include <array>
#include <atomic>
#include <cmath>
#include <string>
#include <thread>
#include <vector>

#include "core/metrics/psnr.h"
#include "kernels/error.h"

namespace ditscope {
namespace {

constexpr int kTaps = Ssim::kWindow_px;
constexpr int kMoments = 5;  // a, b, a*a, b*b, a*b
constexpr double kC1 = 0.01 * 0.01;
constexpr double kC2 = 0.03 * 0.03;
/// Below this many values a thread costs more than it saves.
constexpr std::size_t kValuesWorthThreads = 1u << 20;

std::array<double, kTaps> gaussian_window() {
  std::array<double, kTaps> window{};
  double sum = 0;
  for (int i = 0; i < kTaps; ++i) {
    const double distance = i - kTaps / 2;
    window[i] = std::exp(-distance * distance / (2 * Ssim::kSigma_px * Ssim::kSigma_px));
    sum += window[i];
  }
  for (double& weight : window) weight /= sum;
  return window;
}

/// The five moments of one row, filtered down the columns: every result row needs kTaps source rows.
void filter_columns(const float* a, const float* b, std::size_t row_values, int first_row, const std::array<double, kTaps>& window,
                    std::array<std::vector<double>, kMoments>& moments) {
  for (auto& moment : moments) std::fill(moment.begin(), moment.end(), 0.0);
  double* m0 = moments[0].data();
  double* m1 = moments[1].data();
  double* m2 = moments[2].data();
  double* m3 = moments[3].data();
  double* m4 = moments[4].data();
  for (int tap = 0; tap < kTaps; ++tap) {
    const double weight = window[tap];
    const float* row_a = a + (first_row + tap) * row_values;
    const float* row_b = b + (first_row + tap) * row_values;
    for (std::size_t i = 0; i < row_values; ++i) {
      const double x = row_a[i], y = row_b[i];
      m0[i] += weight * x;
      m1[i] += weight * y;
      m2[i] += weight * x * x;
      m3[i] += weight * y * y;
      m4[i] += weight * x * y;
    }
  }
}

/// Sum of the SSIM map over one row of window positions, the three interleaved channels together.
double sum_row(const std::array<std::vector<double>, kMoments>& moments, int columns, const std::array<double, kTaps>& window) {
  double sum = 0;
  for (int i = 0; i < columns * 3; ++i) {
    std::array<double, kMoments> m{};
    for (int tap = 0; tap < kTaps; ++tap) {
      for (int k = 0; k < kMoments; ++k) m[k] += window[tap] * moments[k][i + tap * 3];
    }
    const double mean_product = m[0] * m[1];
    const double mean_squares = m[0] * m[0] + m[1] * m[1];
    const double variances = m[2] + m[3] - mean_squares;
    const double covariance = m[4] - mean_product;
    sum += ((2 * mean_product + kC1) * (2 * covariance + kC2)) / ((mean_squares + kC1) * (variances + kC2));
  }
  return sum;
}

double ssim_of_frame(const float* a, const float* b, int height, int width, const std::array<double, kTaps>& window) {
  const std::size_t row_values = static_cast<std::size_t>(width) * 3;
  const int rows = height - kTaps + 1;
  const int columns = width - kTaps + 1;
  std::array<std::vector<double>, kMoments> moments;
  for (auto& moment : moments) moment.resize(row_values);
  double sum = 0;
  for (int row = 0; row < rows; ++row) {
    filter_columns(a, b, row_values, row, window, moments);
    sum += sum_row(moments, columns, window);
  }
  return sum / (static_cast<double>(rows) * columns * 3);
}

}  // namespace

Ssim ssim(const Frames& video, const Frames& reference) {
  require_same_shape(video, reference, Ssim::kRecipe);
  if (video.height < kTaps || video.width < kTaps) {
    throw Error(ErrorKind::InvalidArgument, std::string(Ssim::kRecipe) + " expected frames of at least 11 x 11 px, got " +
                                                std::to_string(video.width) + " x " + std::to_string(video.height) +
                                                "; compare larger frames");
  }
  Ssim result;
  result.per_frame.resize(video.count);
  const auto window = gaussian_window();
  std::atomic<int> next{0};
  const auto work = [&] {
    for (int index = next++; index < video.count; index = next++) {
      result.per_frame[index] = ssim_of_frame(video.frame(index), reference.frame(index), video.height, video.width, window);
    }
  };
  std::vector<std::jthread> helpers;
  if (video.rgb.size() >= kValuesWorthThreads) {
    const int cores = static_cast<int>(std::max(1u, std::thread::hardware_concurrency()));
    for (int i = 1; i < std::min(cores, video.count); ++i) helpers.emplace_back(work);
  }
  work();
  helpers.clear();  // joins
  result.min = result.per_frame.front();
  for (const double value : result.per_frame) {
    result.mean += value / video.count;
    result.min = std::isnan(value) || std::isnan(result.min) ? std::nan("") : std::min(result.min, value);
  }
  return result;
}

std::string_view ssim_formula() {
  return "ssim_rgb_gauss11_v1: Gaussian window 11 x 11, sigma 1.5, C1 = 0.01^2, C2 = 0.03^2, per channel of RGB 0..1 before "
         "encoding, valid positions, mean over positions, channels and frames";
}

}  // namespace ditscope
