#pragma once
#include <ATen/core/Generator.h>
#include <ATen/core/Tensor.h>

#include <map>
#include <string>
#include <vector>

#include "core/checkpoint/weight_source.h"

namespace ditscope {

/// Leaf tensors for training, made as a module asks for them: taken from `initial` where it has the key, else initialised
/// by their role. The modules hold the same tensors, so a step of the optimiser changes the model in place.
class TrainableWeights final : public WeightSource {
 public:
  /// @param initial  weights to go on from (a checkpoint's), by key; may be empty
  TrainableWeights(std::uint64_t seed, at::Device device, std::map<std::string, at::Tensor> initial = {});

  /// The same weights for another replica of the model: shared storage, gradients of their own.
  TrainableWeights replica() const;

  at::Tensor take(const std::string& key, at::IntArrayRef shape) override;
  /// Nothing optional is made: a weight known by two names gets its first.
  bool has(const std::string&) const override { return false; }

  const std::vector<std::string>& keys() const { return keys_; }
  const std::vector<at::Tensor>& tensors() const { return tensors_; }
  std::int64_t count() const;  ///< parameters, all tensors
  /// How many of the taken weights came from `initial`.
  int restored() const { return restored_; }

 private:
  at::Tensor initialise(const std::string& key, at::IntArrayRef shape);

  at::Generator generator_;
  at::Device device_;
  std::map<std::string, at::Tensor> initial_;
  std::vector<std::string> keys_;
  std::vector<at::Tensor> tensors_;
  int restored_ = 0;
  bool shares_storage_ = false;  // with `initial_`: a replica
};

}  // namespace ditscope
