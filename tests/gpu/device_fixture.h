#pragma once
#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <limits>
#include <string>

#include "core/bridge/accelerator.h"
#include "core/bridge/device.h"

namespace ditscope::test {

inline const std::filesystem::path kGolden = std::filesystem::path(DITSCOPE_SOURCE_DIR) / "tests" / "golden";

/// "cuda"; DITSCOPE_TEST_DEVICE=cpu runs the same tests on the CPU, to check the tests.
inline std::string device_name() {
  const char* name = std::getenv("DITSCOPE_TEST_DEVICE");
  return name && *name ? name : "cuda";
}

/// Skips every test of a machine without a GPU.
class OnDevice : public ::testing::Test {
 protected:
  void SetUp() override {
    if (device_name() == "cuda" && !cuda_available()) GTEST_SKIP() << "no GPU was found, or LibTorch's CUDA half could not be loaded";
    device_ = usable_device(device_name());
  }
  at::Tensor there(const at::Tensor& tensor) const { return tensor.to(device_); }
  at::Tensor there(const at::Tensor& tensor, at::ScalarType dtype) const { return tensor.to(device_, dtype); }

  c10::Device device_{c10::kCPU};
};

/// Largest difference over the largest magnitude; infinite where the shapes differ.
inline double relative_error(const at::Tensor& ours, const at::Tensor& theirs) {
  if (ours.sizes() != theirs.sizes()) return std::numeric_limits<double>::infinity();
  const at::Tensor a = ours.to(at::kCPU, at::kDouble), b = theirs.to(at::kCPU, at::kDouble);
  return ((a - b).abs().max() / b.abs().max()).item<double>();
}

inline double relative_rms(const at::Tensor& ours, const at::Tensor& theirs) {
  if (ours.sizes() != theirs.sizes()) return std::numeric_limits<double>::infinity();
  const at::Tensor a = ours.to(at::kCPU, at::kDouble), b = theirs.to(at::kCPU, at::kDouble);
  return ((a - b).norm() / b.norm()).item<double>();
}

/// Expects `value` below `limit`, and keeps it in the report whatever comes out.
inline void expect_below(const std::string& name, double value, double limit) {
  ::testing::Test::RecordProperty(name, std::to_string(value * 1e6) + "e-6");
  EXPECT_LT(value, limit) << name;
}

}  // namespace ditscope::test
