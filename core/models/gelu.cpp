#include "core/models/gelu.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>

#include <cstdint>
#include <cstring>

// The loop below is plain C++ that the compiler turns into vectors, once for each kind of processor; the loader picks one.
#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__)
#define DITSCOPE_GELU_CLONES __attribute__((target_clones("default", "arch=x86-64-v3", "arch=x86-64-v4")))
#else
#define DITSCOPE_GELU_CLONES
#endif

namespace ditscope {
namespace {

constexpr std::int64_t kGrainValues = 16384;  // what is worth a thread

}  // namespace

DITSCOPE_GELU_CLONES
void gelu_tanh_values(float* x, std::int64_t count) {
  for (std::int64_t i = 0; i < count; ++i) {
    const float v = x[i];
    float e = -1.5957691216057308f * (v + 0.044715f * v * v * v);  // -2u
    e = e < -87.0f ? -87.0f : e;
    e = e > 87.0f ? 87.0f : e;
    // e^-2u = 2^n e^r with |r| <= ln(2)/2
    const float n = (e * 1.44269504f + 12582912.0f) - 12582912.0f;  // rounds to the nearest integer
    const float r = (e - n * 0.693359375f) + n * 2.12194440e-4f;    // ln 2 in two parts
    float p = 1.0f / 5040.0f;
    p = p * r + 1.0f / 720.0f;
    p = p * r + 1.0f / 120.0f;
    p = p * r + 1.0f / 24.0f;
    p = p * r + 1.0f / 6.0f;
    p = p * r + 0.5f;
    p = p * r + 1.0f;
    p = p * r + 1.0f;
    const std::int32_t bits = (static_cast<std::int32_t>(n) + 127) << 23;
    float scale;
    std::memcpy(&scale, &bits, sizeof scale);
    x[i] = v / (1.0f + p * scale);
  }
}

void gelu_tanh_in_place(const at::Tensor& x) {
  float* data = x.data_ptr<float>();
  at::parallel_for(0, x.numel(), kGrainValues,
                   [data](std::int64_t begin, std::int64_t end) { gelu_tanh_values(data + begin, end - begin); });
}

}  // namespace ditscope
