#include "core/training/orthogonal_update.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <utility>

namespace ditscope {

namespace {

constexpr int kIterations = 5;
constexpr double kA = 3.4445, kB = -4.7750, kC = 2.0315;  // of x -> a x + b x^3 + c x^5: steep at 0, all singular values end near 1

/// Newton-Schulz on a stack of matrices.
at::Tensor orthogonalise(at::Tensor x) {  // (N,R,C)
  const bool tall = x.size(1) > x.size(2);
  if (tall) x = x.transpose(1, 2);
  x = x / (at::linalg_vector_norm(x, 2, {1, 2}, true) + 1e-7);
  x = x.to(at::kBFloat16).contiguous();
  for (int i = 0; i < kIterations; ++i) {
    const auto square = at::bmm(x, x.transpose(1, 2));                    // (N,R,R)
    const auto polynomial = at::baddbmm(square, square, square, kB, kC);  // b A + c A A
    x = at::baddbmm(x, polynomial, x, kA, 1.0);                           // a X + (b A + c A A) X
  }
  x = x.to(at::kFloat);
  return tall ? x.transpose(1, 2) : x;
}

}  // namespace

bool takes_orthogonal_update(const std::string& key, const at::Tensor& weight) {
  if (weight.dim() < 2 || weight.size(0) < 8 || weight.numel() / weight.size(0) < 8) return false;
  constexpr const char* kOutside[] = {"shared.weight", "relative_attention_bias", "patch_embed.", "proj_out.", "conv_in.", "conv_out."};
  return std::none_of(std::begin(kOutside), std::end(kOutside), [&](const char* part) { return key.find(part) != std::string::npos; });
}

std::vector<at::Tensor> orthogonal_updates(const std::vector<at::Tensor>& updates) {
  std::map<std::pair<std::int64_t, std::int64_t>, std::vector<std::size_t>> of_shape;
  for (std::size_t i = 0; i < updates.size(); ++i) {
    const auto rows = updates[i].size(0);
    of_shape[{rows, updates[i].numel() / rows}].push_back(i);
  }
  std::vector<at::Tensor> result(updates.size());
  for (const auto& [shape, members] : of_shape) {
    std::vector<at::Tensor> matrices;
    for (const auto i : members) matrices.push_back(updates[i].reshape({shape.first, shape.second}));
    const double size = 0.2 * std::sqrt(static_cast<double>(std::max(shape.first, shape.second)));
    const auto orthogonal = orthogonalise(at::stack(matrices)) * size;  // (N,R,C)
    for (std::size_t n = 0; n < members.size(); ++n) {
      result[members[n]] = orthogonal[static_cast<std::int64_t>(n)].reshape(updates[members[n]].sizes());
    }
  }
  return result;
}

}  // namespace ditscope
