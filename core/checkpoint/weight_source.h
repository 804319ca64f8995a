#pragma once
#include <ATen/core/Tensor.h>
#include <c10/core/Device.h>
#include <c10/core/ScalarType.h>

#include <string>
#include <string_view>

namespace ditscope {

/// Where a module takes its weights from: a checkpoint (strict), random numbers (tests, training from scratch).
/// A module asks for every weight once, by its full diffusers key, with the shape its config implies.
class WeightSource {
 public:
  virtual ~WeightSource() = default;
  /// @throws Error{Corrupt} naming the key where it is missing or has another shape
  virtual at::Tensor take(const std::string& key, at::IntArrayRef shape) = 0;
  /// For optional weights (biases that some configs lack are decided by config, not by this).
  virtual bool has(const std::string& key) const = 0;
};

/// A view of a source below a prefix: WeightScope(w, "transformer_blocks.3.").take("norm1.linear.weight", ...).
class WeightScope {
 public:
  WeightScope(WeightSource& source, std::string prefix = "") : source_(&source), prefix_(std::move(prefix)) {}
  WeightScope operator/(std::string_view child) const { return {*source_, prefix_ + std::string(child) + "."}; }
  at::Tensor take(const std::string& key, at::IntArrayRef shape) const { return source_->take(prefix_ + key, shape); }
  bool has(const std::string& key) const { return source_->has(prefix_ + key); }
  const std::string& prefix() const { return prefix_; }

 private:
  WeightSource* source_;
  std::string prefix_;
};

}  // namespace ditscope
