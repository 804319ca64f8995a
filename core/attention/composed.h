#pragma once
#include <memory>

#include "core/attention/branch_states.h"
#include "core/attention/correction.h"
#include "core/attention/planner.h"

namespace ditscope {

/// A plan and a correction as one method.
///
/// Full steps attend to everything. A sparse step computes what the planner selects and applies the correction. A refresh, which
/// only some corrections take, attends to everything, measures what the selection keeps of it, and holds that selection until the
/// next refresh: so any plan, also one that changes at every call, goes with any correction.
class ComposedMethod final : public Method {
 public:
  ComposedMethod(std::unique_ptr<Planner> planner, std::unique_ptr<Correction> correction, const ScheduleRule& rule, int steps,
                 QkPrecision qk = QkPrecision::Float);

  std::unique_ptr<Method> clone() const override;
  TokenOrder preferred_order(const TokenLayout& layout) const override { return planner_->preferred_order(layout); }
  double requested_kept_ratio() const override;
  Schedule schedule(int steps, int layers) const override;
  std::int64_t estimate_bytes(const MethodSizes& sizes) const override;
  BlockPlan plan(const LayerCall& call) override;
  at::Tensor execute(const LayerCall& call, const BlockPlan& plan) override;
  RowCorrection row_correction(const LayerCall& call, std::int64_t batch) override;
  int replay_from(int step, int layers) const override;
  std::int64_t bytes_held() const override;
  double correct_seconds() const override { return correct_seconds_; }

 private:
  using Held = std::shared_ptr<const Selection>;
  ComposedMethod(const ComposedMethod& other);
  void refresh(const LayerCall& call, std::int64_t batch, const Selection& selection, at::Tensor& out);
  RowCorrection attend(const LayerCall& call, std::int64_t batch, const Selection& selection, at::Tensor& out);

  std::unique_ptr<Planner> planner_;
  std::unique_ptr<Correction> correction_;
  ScheduleRule rule_;
  int steps_;
  QkPrecision qk_;  ///< of sparse steps; what full steps and refreshes measure stays in float
  Schedule schedule_;
  BranchStates<Held> held_;             ///< by the last refresh
  /// What the last execute() applied to a batch element, in the slots of its selection.
  struct Applied {
    RowCorrection rows;
    Held selection;
  };
  std::vector<Applied> applied_;  ///< (B)
  double sparse_kept_sum_ = 0;          ///< over the sparse calls so far
  std::int64_t sparse_calls_ = 0;
  double correct_seconds_ = 0;
};

}  // namespace ditscope
