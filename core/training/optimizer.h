#pragma once
#include <ATen/core/Tensor.h>

#include <map>
#include <string>
#include <vector>

namespace ditscope {

/// AdamW (Loshchilov & Hutter 2019, arXiv:1711.05101), for hidden matrices Muon (orthogonal_update.h), with gradient clipping and
/// an exponential moving average of the weights, in fused LibTorch kernels.
class Optimizer {
 public:
  struct Options {
    double beta1 = 0.9, beta2 = 0.99, epsilon = 1e-8, weight_decay = 0.01;
    double momentum = 0.95;     ///< of orthogonal updates, after Nesterov
    double clip_norm = 1.0;     ///< of all gradients together
    double ema_decay = 0.999;   ///< reached after a warm-up of (1 + n) / (10 + n)
  };
  Optimizer(std::vector<std::string> keys, std::vector<at::Tensor> weights, const Options& options);

  /// One step on the gradients that backward() left; clears them. @return the gradients' norm before clipping
  double step(double learning_rate);
  std::int64_t steps() const { return steps_; }

  /// The averaged weights by key (detached, shared storage): what is evaluated and shipped.
  std::map<std::string, at::Tensor> average() const;
  /// Everything needed to go on exactly: weights, moments, averages, under prefixes.
  std::map<std::string, at::Tensor> state() const;
  /// @return false where the state is of another set of weights (nothing is changed then)
  bool restore(const std::map<std::string, at::Tensor>& state);

 private:
  void step_adam(const std::vector<at::Tensor>& gradients, double learning_rate);
  void step_orthogonal(const std::vector<at::Tensor>& gradients, double learning_rate);

  std::vector<std::string> keys_;
  std::vector<at::Tensor> weights_, averages_;
  std::vector<at::Tensor> first_moments_;            // of AdamW, or momentum of an orthogonal update
  std::vector<std::size_t> orthogonal_, adam_;       // which weights take which update
  std::vector<at::Tensor> adam_weights_, adam_first_moments_, second_moments_, step_counts_;  // in the order of adam_
  Options options_;
  std::int64_t steps_ = 0;
};

/// Warm-up over `warmup` of the progress, then linear decay to `last` (both as fractions of the peak).
/// @param progress 0..1
double learning_rate_at(double progress, double peak, double warmup, double last);

}  // namespace ditscope
