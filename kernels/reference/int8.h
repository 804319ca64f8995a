#pragma once
#include <cstdint>
#include <vector>

namespace ditscope::reference {

/// What int8 numbers stand for: values * the scale of their group, in float64.
/// @param values (H,T,D) @param scales (H, ceil(T/group_tokens)) @return (H,T,D)
std::vector<double> dequantise(const std::vector<std::int8_t>& values, const std::vector<float>& scales, int heads, int tokens,
                               int width, int group_tokens);

/// (x - mean) * 127 / max|x - mean| of its group, not yet rounded, in float64.
/// @param x (H,T,D) @param mean (H,D)
std::vector<double> scaled_for_int8(const std::vector<double>& x, const std::vector<double>& mean, int heads, int tokens,
                                    int width, int group_tokens);

}  // namespace ditscope::reference
