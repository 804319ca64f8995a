#pragma once
#include <ATen/core/Tensor.h>

#include <cstdint>

namespace ditscope {

/// Groups of like tokens of each head (kernels/k_means.h), on the CPU.
struct Clusters {
  at::Tensor centroids;  // (H,K,D) float32
  at::Tensor counts;     // (H,K) int32
  at::Tensor order;      // (H,T) int32: tokens sorted by cluster
};

/// @param rows       (H,T,D), any type and device
/// @param centroids  (H,K,D) to start from; undefined: `count` random tokens under `seed`
Clusters clusters_of(const at::Tensor& rows, std::int64_t count, const at::Tensor& centroids, int most_iterations, std::uint64_t seed);

}  // namespace ditscope
