#pragma once
#include <memory>
#include <set>
#include <vector>

#include "core/attention/branch_states.h"
#include "core/attention/planner.h"
#include "core/attention/stored_residual.h"

namespace ditscope {

/// What DiTFastAttn does with one layer at one step, in the order in which its search tries them after Full: what saves most first.
enum class Compression {
  Full,                  ///< FULL
  Reuse,                 ///< AST: the output of the latest step that was not one
  ResidualShared,        ///< WA-RS + ASC
  Residual,              ///< WA-RS: the window plus the residual of the latest full step
  Shared,                ///< ASC: the conditional branch alone, its output for both
};
/// The last one; codes in files run from 0 to it.
constexpr Compression kLastCompression = Compression::Shared;

struct CompressionTable {
  int steps = 0, layers = 0;
  std::vector<Compression> cells;  // (S,L)
  bool any_model = false;          ///< layers beyond the last do as the last; false: made for a model of just so many

  Compression& at(int step, int layer);
  Compression at(int step, int layer) const;
};

struct CompressionOptions {
  ResidualStorage storage;
  QkPrecision qk = QkPrecision::Float;
  /// The residual of a shared step: false: that of the conditional branch; true: that of the first half of the batch, as the code has it.
  bool first_half_residual = false;
  bool keep_all = false;  ///< remember what the table does not need yet: for the search of a table
};

/// DiTFastAttn with a plan of its own for every step and layer.
class CompressedMethod final : public Method {
 public:
  CompressedMethod(std::unique_ptr<Planner> window, CompressionTable table, const CompressionOptions& options);

  /// What the next calls follow; the search tries others.
  CompressionTable& table() { return table_; }

  std::unique_ptr<Method> clone() const override;
  TokenOrder preferred_order(const TokenLayout& layout) const override { return window_->preferred_order(layout); }
  double requested_kept_ratio() const override { return window_->requested_kept_ratio().value_or(1); }
  Schedule schedule(int steps, int layers) const override;
  std::int64_t estimate_bytes(const MethodSizes& sizes) const override;
  BlockPlan plan(const LayerCall& call) override;
  at::Tensor execute(const LayerCall& call, const BlockPlan& plan) override;
  RowCorrection row_correction(const LayerCall& call, std::int64_t batch) override;
  std::int64_t bytes_held() const override;

 private:
  struct State {
    StoredResidual residual;          // (H,T,D) O_full - O_window
    at::Tensor output;                // (H,T,D)
    std::vector<std::int64_t> shape;  // (H,T,D) of the call that made them
  };
  CompressedMethod(const CompressedMethod& other);
  Compression possible(const LayerCall& call);
  bool needs_residual(int step, int layer) const;
  bool needs_output(int step, int layer) const;

  std::unique_ptr<Planner> window_;
  CompressionTable table_;
  CompressionOptions options_;
  BranchStates<State> states_;
  std::vector<at::Tensor> residuals_;  ///< (B) added by the last execute()
};

}  // namespace ditscope
