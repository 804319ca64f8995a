#include "core/training/optimizer.h"

#include <ATen/ATen.h>
#include <c10/core/GradMode.h>

#include <algorithm>
#include <cmath>

#include "core/training/orthogonal_update.h"

namespace ditscope {

Optimizer::Optimizer(std::vector<std::string> keys, std::vector<at::Tensor> weights, const Options& options)
    : keys_(std::move(keys)), weights_(std::move(weights)), options_(options) {
  c10::NoGradGuard no_grad;
  for (std::size_t i = 0; i < weights_.size(); ++i) {
    const at::Tensor& weight = weights_[i];
    first_moments_.push_back(at::zeros_like(weight));
    averages_.push_back(weight.detach().clone());
    if (takes_orthogonal_update(keys_[i], weight)) {
      orthogonal_.push_back(i);
      continue;
    }
    adam_.push_back(i);
    adam_weights_.push_back(weight);
    adam_first_moments_.push_back(first_moments_.back());
    second_moments_.push_back(at::zeros_like(weight));
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
  if (std::isfinite(norm)) {
    if (norm > options_.clip_norm) at::_foreach_mul_(gradients, options_.clip_norm / (norm + 1e-6));
    step_adam(gradients, learning_rate);
    step_orthogonal(gradients, learning_rate);
    ++steps_;
    const double warm = (1.0 + static_cast<double>(steps_)) / (10.0 + static_cast<double>(steps_));
    at::_foreach_lerp_(averages_, weights_, 1.0 - std::min(options_.ema_decay, warm));
  }
  for (const auto& weight : weights_) weight.mutable_grad().reset();
  return norm;
}

void Optimizer::step_adam(const std::vector<at::Tensor>& gradients, double learning_rate) {
  if (adam_.empty()) return;
  std::vector<at::Tensor> own;
  for (const auto i : adam_) own.push_back(gradients[i]);
  at::_foreach_add_(step_counts_, 1);
  at::_fused_adamw_(adam_weights_, own, adam_first_moments_, second_moments_, {}, step_counts_, learning_rate, options_.beta1,
                    options_.beta2, options_.weight_decay, options_.epsilon, false, false);
}

void Optimizer::step_orthogonal(const std::vector<at::Tensor>& gradients, double learning_rate) {
  if (orthogonal_.empty()) return;
  std::vector<at::Tensor> weights, moments, ahead;
  for (const auto i : orthogonal_) {
    weights.push_back(weights_[i]);
    moments.push_back(first_moments_[i]);
    ahead.push_back(gradients[i]);
  }
  at::_foreach_mul_(moments, options_.momentum);
  at::_foreach_add_(moments, ahead);
  at::_foreach_add_(ahead, moments, options_.momentum);
  const auto updates = orthogonal_updates(ahead);
  at::_foreach_mul_(weights, 1.0 - learning_rate * options_.weight_decay);
  at::_foreach_add_(weights, updates, -learning_rate);
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
    result["average/" + keys_[i]] = averages_[i];
  }
  for (std::size_t i = 0; i < adam_.size(); ++i) result["second/" + keys_[adam_[i]]] = second_moments_[i];
  result["steps"] = at::scalar_tensor(steps_, at::kLong);
  return result;
}

bool Optimizer::restore(const std::map<std::string, at::Tensor>& state) {
  const auto matches = [&](const std::string& name, const at::Tensor& target) {
    const auto found = state.find(name);
    return found != state.end() && found->second.sizes() == target.sizes();
  };
  for (std::size_t i = 0; i < keys_.size(); ++i) {
    for (const char* prefix : {"weight/", "first/", "average/"}) {
      if (!matches(prefix + keys_[i], weights_[i])) return false;
    }
  }
  for (const auto i : adam_) {
    if (!matches("second/" + keys_[i], weights_[i])) return false;
  }
  if (!state.count("steps")) return false;
  c10::NoGradGuard no_grad;
  steps_ = state.at("steps").item<std::int64_t>();
  for (std::size_t i = 0; i < keys_.size(); ++i) {
    weights_[i].copy_(state.at("weight/" + keys_[i]));
    first_moments_[i].copy_(state.at("first/" + keys_[i]));
    averages_[i].copy_(state.at("average/" + keys_[i]));
  }
  for (std::size_t i = 0; i < adam_.size(); ++i) {
    second_moments_[i].copy_(state.at("second/" + keys_[adam_[i]]));
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
