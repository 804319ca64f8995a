#pragma once
#include <vector>

#include "kernels/block_sparse_attention.h"
#include "kernels/tensor_view.h"

namespace ditscope {

/// Lloyd's k-means of the tokens of each head, Euclidean:
///   label_t = argmin_c |x_t - centroid_c| (the lowest c of equals),  centroid_c = mean of the tokens with label c,
/// repeated until no centroid moves further than `tolerance` or most_iterations have passed. An empty cluster keeps its centroid.
/// Labels are those of the last assignment, the centroids those updated after it, as SVG2 scores and stores them.
///
/// Deterministic: the same bits for every number of workers; random starts depend on `seed` and the number of the head alone.
/// @see Yang et al. 2025 (SVG2), arXiv:2505.18875, sec. 4.1: centroids of the step before, 2 iterations; else random tokens, 50
template <typename Element>
struct KMeansArguments {
  HostView<const Element, 3> x;  ///< (H,T,D), any strides; D 1..256; Element float or Bfloat16Bits
  HostView<float, 3> centroids;  ///< (H,K,D), K <= T; read if warm_start, written
  bool warm_start = false;       ///< begin with `centroids`; else with K different tokens drawn under `seed`
  std::uint64_t seed = 0;
  int most_iterations = 50;          ///< >= 1
  float tolerance = 1e-4f;           ///< of the longest way that a centroid moved
  HostView<std::int32_t, 2> labels;  ///< (H,T)
  HostView<std::int32_t, 2> counts;  ///< (H,K) tokens of each cluster; null data to skip
  HostView<std::int32_t, 2> order;   ///< (H,T) tokens sorted by label, else as they were, as gather_tokens takes it; null to skip
};

/// @return iterations that each head took
/// @throws Error{InvalidArgument} naming the first argument that disagrees; nothing is written then
template <typename Element>
std::vector<int> k_means(const KMeansArguments<Element>& arguments, const Workers& workers = {});

}  // namespace ditscope
