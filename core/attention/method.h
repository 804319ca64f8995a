#pragma once
#include <ATen/core/Tensor.h>

#include <cstdint>
#include <memory>
#include <vector>

#include "core/attention/layer_call.h"
#include "core/attention/schedule.h"
#include "core/attention/selection.h"

namespace ditscope {

/// What one call will compute: a value that captures keep and tests compare.
struct BlockPlan {
  StepKind kind = StepKind::Full;
  std::vector<std::shared_ptr<const Selection>> selections;  ///< (B) the pairs kept by each batch element; empty: all
  std::shared_ptr<const BlockMask> mask;  ///< the mask of all selections where they share one over tokens as they come; else null
  double requested = 1;                   ///< kept ratio that the parameters ask for at this call
  double achieved = 1;                    ///< pairs computed over all pairs, text included; a refresh: 1 + kept
  double achieved_blocks = 1;             ///< the same, each 64 x 64 block that is touched counted as a whole
  std::vector<at::Tensor> attended;       // (B) of (H,T,D): full attention that a search gave by the way; empty: none
};

/// What the last execute() did to the rows of one batch element besides normalising them over the kept keys; undefined: nothing.
struct RowCorrection {
  at::Tensor scale;     // (H,T) float32, the rho that was used: factor on the softmax over the kept keys
  at::Tensor mass;      // (H,T) float32, sum of the weights that a row's output is made of, what was added included
  at::Tensor residual;  // (H,T,D) added
};

/// Sizes that a method's memory depends on.
struct MethodSizes {
  int layers = 0;
  std::int64_t batch = 0, heads = 0, tokens = 0, head_dim = 0, element_bytes = 4;
};

/// One attention method during one generation. What it remembers of earlier steps is its own, kept apart per layer, guidance
/// branch and head, and ends with the object. A method never names a model.
class Method {
 public:
  virtual ~Method() = default;
  Method() = default;
  Method& operator=(const Method&) = delete;

  /// A copy that remembers what this one remembers now: what either does later, the other does not see. Runs keep one from before
  /// each step, so that a stopped step leaves no trace. It must cost nothing: tensors are shared, so execute() replaces a
  /// remembered tensor and never writes into one. With value members: `return std::make_unique<T>(*this);`
  virtual std::unique_ptr<Method> clone() const = 0;

  /// The token order in which the method's mask needs the fewest blocks.
  virtual TokenOrder preferred_order(const TokenLayout&) const { return TokenOrder::FrameMajor; }
  /// The kept ratio that a sparse step asks for.
  virtual double requested_kept_ratio() const { return 1; }
  /// What every step does, before any call.
  virtual Schedule schedule(int steps, int layers) const = 0;
  /// Bytes that a generation of this size makes the method hold between steps.
  virtual std::int64_t estimate_bytes(const MethodSizes&) const { return 0; }

  /// Chooses what this call computes. May look at q and k.
  virtual BlockPlan plan(const LayerCall& call) = 0;
  /// Attends as planned, and remembers what later steps reuse.
  virtual at::Tensor execute(const LayerCall& call, const BlockPlan& plan) = 0;  // (B,H,T,D)

  /// For captures, right after execute() of this call.
  virtual RowCorrection row_correction(const LayerCall&, std::int64_t /*batch*/) { return {}; }
  /// Time that the correction took in the last execute(): what it measures at a refresh and prepares or adds at a sparse step. A factor
  /// and a residual that the kernel applies while it attends are not in it.
  virtual double correct_seconds() const { return 0; }
  /// The step from which a replay must run for this step to find what the method then remembered; 0 is always right.
  virtual int replay_from(int /*step*/, int /*layers*/) const { return 0; }

  /// Bytes remembered now, masks included.
  virtual std::int64_t bytes_held() const { return 0; }

 protected:
  Method(const Method&) = default;
};

}  // namespace ditscope
