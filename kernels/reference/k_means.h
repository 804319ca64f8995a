#pragma once
#include <cstdint>
#include <vector>

namespace ditscope::reference {

/// Lloyd's iterations in float64, from given centroids.
/// @param x (T,D) @param centroids (K,D), updated @return labels (T) of the last assignment
std::vector<std::int32_t> k_means(const std::vector<double>& x, std::vector<double>& centroids, int width, int iterations);

/// Sum over tokens of the squared distance to the nearest centroid.
double k_means_cost(const std::vector<double>& x, const std::vector<double>& centroids, int width);

}  // namespace ditscope::reference
