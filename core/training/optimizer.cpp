#include "core/training/optimizer.h"

#include <ATen/ATen.h>
#include <c10/core/GradMode.h>

#include <algorithm>
#include <cmath>

namespace ditscope {

Optimizer::Optimizer(std::vector<std::string> keys, std::vector<at::Tensor> weights, const Options& options)
    : keys_(std::move(keys)), weights_(std::move(weights)), options_(options) {
  c10::NoGradGuard no_grad;
  for (const auto& weight : weights_) {
    first_moments_.push_back(at::zeros_like(weight));
    second_moments_.push_back(at::zeros_like(weight));
    averages_.push_back(weight.detach().clone());
    step_counts_.push_back(at::zeros({}, weight.options().requires_grad(false)));
  }
}

double Optimizer::step(double learning_rate) {
  c10::NoGradGuard no_grad;
  std::vector<at::Tensor> gradients;
  gradients.reserve(weights_.size());
  for (const auto& weight : weights_) {
    at::Tensor gradient = weight.grad().defined() ? weight.grad() : at::zeros_like(weight);
    // The fused kernel of a GPU wants equal strides, also where a size of 1 makes them meaningless (1x1x1 convolutions).
    if (gradient.strides() != weight.strides())
      gradient = at::empty_strided(weight.sizes(), weight.strides(), gradient.options()).copy_(gradient);
    gradients.push_back(gradient);
  }
  const double norm = at::stack(at::_foreach_norm(gradients, 2)).norm().item<double>();
  const bool finite = std::isfinite(norm);
  if (finite) {
    if (norm > options_.clip_norm) at::_foreach_mul_(gradients, options_.clip_norm / (norm + 1e-6));
    at::_foreach_add_(step_counts_, 1);
    at::_fused_adamw_(weights_, gradients, first_moments_, second_moments_, {}, step_counts_, learning_rate, options_.beta1,
                      options_.beta2, options_.weight_decay, options_.epsilon, false, false);
    ++steps_;
    const double warm = (1.0 + static_cast<double>(steps_)) / (10.0 + static_cast<double>(steps_));
    at::_foreach_lerp_(averages_, weights_, 1.0 - std::min(options_.ema_decay, warm));
  }
  for (const auto& weight : weights_) weight.mutable_grad().reset();
  return norm;
}

std::map<std::string, at::Tensor> Optimizer::average() const {
  std::map<std::string, at::Tensor> result;
  for (std::size_t i = 0; i < keys_.size(); ++i) result[keys_[i]] = averages_[i];
  return result;
}

std::map<std::string, at::Tensor> Optimizer::state() const {
  std::map<std::string, at::Tensor> result;
  for (std::size_t i = 0; i < keys_.size(); ++i) {
    result["weight/" + keys_[i]] = weights_[i].detach();
    result["first/" + keys_[i]] = first_moments_[i];
    result["second/" + keys_[i]] = second_moments_[i];
    result["average/" + keys_[i]] = averages_[i];
  }
  result["steps"] = at::scalar_tensor(steps_, at::kLong);
  return result;
}

bool Optimizer::restore(const std::map<std::string, at::Tensor>& state) {
  const auto matches = [&](const std::string& name, const at::Tensor& target) {
    const auto found = state.find(name);
    return found != state.end() && found->second.sizes() == target.sizes();
  };
  for (std::size_t i = 0; i < keys_.size(); ++i) {
    for (const char* prefix : {"weight/", "first/", "second/", "average/"}) {
      if (!matches(prefix + keys_[i], weights_[i])) return false;
    }
  }
  if (!state.count("steps")) return false;
  c10::NoGradGuard no_grad;
  steps_ = state.at("steps").item<std::int64_t>();
  for (std::size_t i = 0; i < keys_.size(); ++i) {
    weights_[i].copy_(state.at("weight/" + keys_[i]));
    first_moments_[i].copy_(state.at("first/" + keys_[i]));
    second_moments_[i].copy_(state.at("second/" + keys_[i]));
    averages_[i].copy_(state.at("average/" + keys_[i]));
    step_counts_[i].fill_(static_cast<double>(steps_));
  }
  return true;
}

double learning_rate_at(double progress, double peak, double warmup, double last) {
  progress = std::clamp(progress, 0.0, 1.0);
  if (progress < warmup) return peak * std::max(progress / warmup, 0.02);
  const double left = (1.0 - progress) / (1.0 - warmup);
  return peak * (last + (1.0 - last) * left);
}

}  // namespace ditscope
