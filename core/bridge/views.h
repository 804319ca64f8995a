#pragma once
#include <ATen/Parallel.h>
#include <ATen/core/Tensor.h>
#include <c10/core/GradMode.h>

#include "core/attention/layer_call.h"
#include "core/bridge/parallel.h"
#include "kernels/tensor_view.h"

// Tensors as the kernels see them; for sources that call kernels.
namespace ditscope {

/// Whether the CPU kernels can take a call: the others go through LibTorch operations.
inline bool kernel_takes(const LayerCall& call) {
  const auto type = call.q.scalar_type();
  return call.q.is_cpu() && (type == at::kFloat || type == at::kBFloat16 || type == at::kHalf) && !call.key_mask.defined() &&
         call.q.size(3) <= 256 && !(at::GradMode::is_enabled() && call.q.requires_grad());
}

/// Threads for a call that visits `blocks` key blocks a head: waking a pool costs more than a few of them.
inline Workers workers_for(std::int64_t heads, std::int64_t blocks) {
  constexpr std::int64_t kFewBlocks = 32;
  return heads * blocks <= kFewBlocks ? Workers{} : torch_workers(at::get_num_threads());
}

template <typename Element, int kRank>
HostView<Element, kRank> view(const at::Tensor& tensor) {
  HostView<Element, kRank> result;
  if (!tensor.defined()) return result;
  result.data = static_cast<Element*>(tensor.data_ptr());
  for (int i = 0; i < kRank; ++i) {
    result.shape[i] = tensor.size(i);
    result.stride[i] = tensor.stride(i);
  }
  return result;
}

/// float16 has no kernel of its own: it is computed in float32.
inline at::Tensor widened(const at::Tensor& tensor) {
  return tensor.defined() && tensor.scalar_type() == at::kHalf ? tensor.to(at::kFloat) : tensor;
}

}  // namespace ditscope
