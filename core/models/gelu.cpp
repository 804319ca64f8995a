#include "core/models/gelu.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>

#include <cstdint>

#include "core/bridge/vector_math.h"

namespace ditscope {
namespace {

constexpr std::int64_t kGrainValues = 16384;  // what is worth a thread

}  // namespace

DITSCOPE_VECTOR_CLONES
void gelu_tanh_values(float* x, std::int64_t count) {
  for (std::int64_t i = 0; i < count; ++i) {
    const float v = x[i];
    x[i] = v / (1.0f + exponential(-1.5957691216057308f * (v + 0.044715f * v * v * v)));  // e^-2u
  }
}

void gelu_tanh_in_place(const at::Tensor& x) {
  float* data = x.data_ptr<float>();
  at::parallel_for(0, x.numel(), kGrainValues,
                   [data](std::int64_t begin, std::int64_t end) { gelu_tanh_values(data + begin, end - begin); });
}

}  // namespace ditscope
