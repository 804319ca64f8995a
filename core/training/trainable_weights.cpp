#include "core/training/trainable_weights.h"

#include <ATen/ATen.h>

#include <cmath>

#include "kernels/error.h"

namespace ditscope {

namespace {

bool ends_with(const std::string& text, const std::string& tail) {
  return text.size() >= tail.size() && text.compare(text.size() - tail.size(), tail.size(), tail) == 0;
}

bool contains(const std::string& text, const std::string& part) { return text.find(part) != std::string::npos; }

/// Modulations and the last projection start at zero, so that every block starts as the identity
/// (adaLN-zero; Peebles & Xie 2022, arXiv:2212.09748, section 3.2).
bool starts_at_zero(const std::string& key) {
  return ends_with(key, "norm1.linear.weight") || ends_with(key, "norm2.linear.weight") || ends_with(key, "norm_out.linear.weight") ||
         key == "proj_out.weight";
}

}  // namespace

TrainableWeights::TrainableWeights(std::uint64_t seed, at::Device device, std::map<std::string, at::Tensor> initial)
    : generator_(at::detail::createCPUGenerator(seed)), device_(device), initial_(std::move(initial)) {}

TrainableWeights TrainableWeights::replica() const {
  std::map<std::string, at::Tensor> mine;
  for (std::size_t i = 0; i < keys_.size(); ++i) mine[keys_[i]] = tensors_[i];
  TrainableWeights copy(0, device_, std::move(mine));
  copy.shares_storage_ = true;
  return copy;
}

at::Tensor TrainableWeights::take(const std::string& key, at::IntArrayRef shape) {
  at::Tensor weight;
  if (auto found = initial_.find(key); found != initial_.end()) {
    if (found->second.sizes() != shape) {
      throw Error(ErrorKind::Corrupt, "The weights to go on from hold \"" + key + "\" with another shape than this configuration has. "
                                      "Start a fresh folder, or use the configuration that wrote them.");
    }
    weight = shares_storage_ ? found->second.detach() : found->second.to(device_, at::kFloat).clone();
    ++restored_;
  } else {
    weight = initialise(key, shape).to(device_);
  }
  weight.requires_grad_(true);
  keys_.push_back(key);
  tensors_.push_back(weight);
  return weight;
}

at::Tensor TrainableWeights::initialise(const std::string& key, at::IntArrayRef shape) {
  if (ends_with(key, ".bias") || starts_at_zero(key)) return at::zeros(shape);
  if (shape.size() == 1) return at::ones(shape);  // gains of norms
  const auto normal = [&](double deviation) { return at::randn(shape, generator_) * deviation; };
  if (ends_with(key, "shared.weight")) return normal(1.0);
  if (contains(key, "relative_attention_bias")) return normal(0.02);
  const double fan_in = [&] {
    double product = 1;
    for (std::size_t i = 1; i < shape.size(); ++i) product *= static_cast<double>(shape[i]);
    return product;
  }();
  // T5 has no 1/sqrt(d) in its logits: the query projection carries it (Raffel et al. 2020, its reference initialisation).
  if (ends_with(key, "SelfAttention.q.weight")) return normal(std::pow(fan_in * 64.0, -0.5));
  return normal(std::pow(fan_in, -0.5) * (shape.size() > 2 ? 1.0 : 0.7));
}

std::int64_t TrainableWeights::count() const {
  std::int64_t total = 0;
  for (const auto& tensor : tensors_) total += tensor.numel();
  return total;
}

}  // namespace ditscope
