#pragma once
#include <ATen/core/Tensor.h>

#include <cstdint>
#include <memory>

#include "core/attention/method.h"
#include "core/bridge/attention.h"

namespace ditscope {

/// Makes up for the pairs that a plan skips. It sees the tokens in the slots of the selection and never asks who chose it.
///
///   out = scale * softmax over the kept keys V + residual, then finish()
class Correction {
 public:
  virtual ~Correction() = default;
  Correction() = default;
  Correction& operator=(const Correction&) = delete;
  virtual std::unique_ptr<Correction> clone() const = 0;

  /// Whether it leaves what the kept keys give: then nobody needs the tokens in slots.
  virtual bool changes_nothing() const { return false; }
  /// Whether it reuses what a full step measured. Then the schedule has refreshes, and the selection of a refresh is held until
  /// the next, for what was measured belongs to it.
  virtual bool refreshes() const { return false; }
  /// Whether there is something to reuse for this batch element.
  virtual bool ready(const LayerCall& /*call*/, std::int64_t /*batch*/) { return true; }
  /// What a refresh is to measure.
  virtual bool unit_rho() const { return false; }
  virtual bool needs_residual() const { return false; }
  /// A refresh was measured, by slot.
  virtual void refresh(const LayerCall& /*call*/, std::int64_t /*batch*/, const SplitResult&, const Selection&) {}
  /// Pairs of means that a sparse step computes besides those of the selection, over all pairs of tokens.
  virtual double pooled_kept_ratio(const LayerCall&) const { return 0; }

  /// What a sparse step applies to a batch element, by slot. `mass` is for captures.
  /// @param in_slots  the batch element, tokens in slots, empty ones 0
  virtual RowCorrection apply(const LayerCall& /*call*/, std::int64_t /*batch*/, const LayerCall& /*in_slots*/, const Selection&) {
    return {};
  }
  /// Whether it works on the log-sum-exp that a sparse step measures: then combine() is asked in place of apply() and finish().
  virtual bool combines() const { return false; }
  /// Makes the output of what attention over the kept keys gave. What it returns is for captures.
  /// @param log_sum_exp (H,S) over the kept keys     @param out (1,H,S,D), in and out
  virtual RowCorrection combine(const LayerCall& /*call*/, std::int64_t /*batch*/, const LayerCall& /*in_slots*/, const Selection&,
                                const at::Tensor& /*log_sum_exp*/, at::Tensor& /*out*/) {
    return {};
  }
  /// Changes what a sparse step gave. @param out (1,H,S,D)
  virtual void finish(const LayerCall& /*call*/, std::int64_t /*batch*/, const LayerCall& /*in_slots*/, const Selection&,
                      at::Tensor& /*out*/) {}

  virtual std::int64_t bytes_held() const { return 0; }
  virtual std::int64_t estimate_bytes(const MethodSizes&) const { return 0; }

 protected:
  Correction(const Correction&) = default;
};

}  // namespace ditscope
