#include <ATen/CPUGeneratorImpl.h>
#include <ATen/ops/empty.h>

#include <cmath>

#include "core/checkpoint/checkpoint.h"
#include "kernels/error.h"

namespace ditscope {
namespace {

/// FNV-1a, so that a key's seed is the same on every platform.
std::uint64_t seed_of(const std::string& key, std::uint64_t seed) {
  std::uint64_t hash = 0xcbf29ce484222325ull ^ seed * 0x9e3779b97f4a7c15ull;
  for (const char c : key) hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001b3ull;
  return hash;
}

bool is_embedding(const std::string& key) {
  return key.find("shared.weight") != std::string::npos || key.find("embed_tokens") != std::string::npos ||
         key.find("relative_attention_bias") != std::string::npos || !key.ends_with("weight");
}

/// Inputs and outputs of a linear layer or convolution. (out, in, kernel...)
std::pair<double, double> fans(const at::Tensor& weight) {
  const double kernel = static_cast<double>(weight[0][0].numel());
  return {weight.size(1) * kernel, weight.size(0) * kernel};
}

}  // namespace

void initialize_for_tests(const std::string& key, at::Tensor& weight, at::Generator generator) {
  if (weight.numel() == 0) return;
  if (weight.dim() < 2 || is_embedding(key)) {
    weight.normal_(key.ends_with("weight") && weight.dim() == 1 ? 1.0 : 0.0, is_embedding(key) && weight.dim() > 1 ? 0.5 : 0.2,
                   generator);
  } else {
    weight.normal_(0.0, 1.0 / std::sqrt(fans(weight).first), generator);
  }
}

void initialize_for_training(const std::string& key, at::Tensor& weight, at::Generator generator) {
  if (weight.numel() == 0) return;
  if (weight.dim() < 2) {
    weight.fill_(key.ends_with("weight") ? 1.0 : 0.0);
  } else if (is_embedding(key)) {
    weight.normal_(0.0, 0.02, generator);
  } else {
    const auto [in, out] = fans(weight);
    const double bound = std::sqrt(6.0 / (in + out));
    weight.uniform_(-bound, bound, generator);
  }
}

RandomWeights::RandomWeights(std::uint64_t seed, WeightOptions options, Initializer initializer)
    : seed_(seed), options_(std::move(options)), initializer_(std::move(initializer)) {}

at::Tensor RandomWeights::take(const std::string& key, at::IntArrayRef shape) {
  if (taken_.contains(key)) throw Error(ErrorKind::InvalidArgument, "the weight " + key + " was taken twice");
  auto weight = at::empty(shape, at::TensorOptions(at::kFloat));
  initializer_(key, weight, at::detail::createCPUGenerator(seed_of(key, seed_)));
  return taken_[key] = converted_weight(key, weight, options_);
}

}  // namespace ditscope
