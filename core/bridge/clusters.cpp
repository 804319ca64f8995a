#include "core/bridge/clusters.h"

#include <ATen/ATen.h>

#include "core/bridge/views.h"
#include "kernels/k_means.h"

namespace ditscope {

Clusters clusters_of(const at::Tensor& rows, std::int64_t count, const at::Tensor& centroids, int most_iterations, std::uint64_t seed) {
  const at::Tensor x = rows.to(at::kCPU, at::kFloat);  // (H,T,D)
  const std::int64_t heads = x.size(0), tokens = x.size(1);
  const auto integers = at::TensorOptions().dtype(at::kInt);
  Clusters c{centroids.defined() ? centroids.clone() : at::empty({heads, count, x.size(2)}, at::kFloat), at::empty({heads, count}, integers),
             at::empty({heads, tokens}, integers)};
  const at::Tensor labels = at::empty({heads, tokens}, integers);
  KMeansArguments<float> a;
  a.x = view<const float, 3>(x);
  a.centroids = view<float, 3>(c.centroids);
  a.warm_start = centroids.defined();
  a.seed = seed;
  a.most_iterations = most_iterations;
  a.labels = view<std::int32_t, 2>(labels);
  a.counts = view<std::int32_t, 2>(c.counts);
  a.order = view<std::int32_t, 2>(c.order);
  k_means(a, workers_for(heads, tokens));
  return c;
}

}  // namespace ditscope
