#pragma once
#include <cstdint>
#include <functional>
#include <memory>
#include <vector>

#include "core/attention/method.h"
#include "core/catalog/catalog.h"

namespace ditscope {

/// What one call of one layer cost and kept, as the session hands it on.
struct LayerMeasure {
  int step = 0, layer = 0;
  StepKind kind = StepKind::Full;
  double seconds = 0;  ///< plan and execution
  double plan_seconds = 0;
  double kept_ratio_requested = 1, kept_ratio_achieved = 1, kept_ratio_blocks = 1;
  std::int64_t method_bytes = 0;  ///< held after the call
  Method* method = nullptr;       ///< what ran; alive during the sink's call
  QkPrecision qk = QkPrecision::Float;  ///< of sparse steps
};

/// Kept ratios of a run. `achieved` and `schedule_average` are of the steps done so far and become final with the last one.
struct KeptRatios {
  double requested = 1;         ///< what the parameters ask of a sparse step
  double achieved = 1;          ///< mean over the sparse calls, text included; 1 where there was none
  double schedule_average = 1;  ///< mean over all calls, a refresh counted as 1 + kept
  double ceiling = 1;           ///< 1 / schedule_average
};

/// The attention of one generation: one method with its memory, timed and counted. Made anew for every run; not thread-safe.
class AttentionSession final : public Attention {
 public:
  using MeasureSink = std::function<void(const LayerMeasure&, const LayerCall&, const BlockPlan&, const at::Tensor& out)>;

  /// @param choice what it leaves open is filled in with the catalog's defaults for `steps`
  /// @param sink   called after every attend(), its time not counted; may be empty
  /// @throws Error{NotFound, InvalidArgument} as resolve()
  AttentionSession(const MethodChoice& choice, int steps, MeasureSink sink = {});
  ~AttentionSession() override;
  /// A session that stands where this one stands and goes its own way from here: how a stopped step leaves no trace.
  std::unique_ptr<AttentionSession> fork() const;

  TokenOrder preferred_order(const TokenLayout& layout) const override;
  /// Plans, executes and records one call.
  /// @throws Error{InvalidArgument} where shapes and layout disagree
  at::Tensor attend(const LayerCall& call) override;  // (B,H,T,D)

  /// Replaces the sink: a recorder is made when the session is there.
  void set_sink(MeasureSink sink) { sink_ = std::move(sink); }

  const MethodChoice& choice() const { return choice_; }
  int replay_from(int step, int layers) const { return method_->replay_from(step, layers); }
  /// Kind, attention seconds and kept ratios of a step; index set, timestep and total seconds left to the caller. A step without
  /// a call is what the schedule plans.
  StepRecord step_record(int step) const;
  KeptRatios kept_ratios() const;
  double attention_seconds() const;
  /// What the method remembers now, and the most it ever did.
  std::int64_t bytes_held() const;
  std::int64_t peak_bytes_held() const { return peak_bytes_; }

 private:
  AttentionSession(const AttentionSession& other);
  struct StepSum {
    int calls = 0, sparse_calls = 0;
    double seconds = 0, requested = 0, achieved = 0, sparse_achieved = 0;
    bool refresh = false, search = false, cached = false;
  };

  MethodChoice choice_;
  int steps_;
  MeasureSink sink_;
  std::unique_ptr<Method> method_;
  std::vector<StepSum> sums_;  // (S)
  std::int64_t peak_bytes_ = 0;
};

}  // namespace ditscope
