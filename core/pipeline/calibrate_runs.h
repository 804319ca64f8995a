#pragma once
#include <functional>
#include <memory>
#include <vector>

#include "core/attention/method.h"
#include "core/pipeline/calibrate.h"
#include "core/pipeline/denoise.h"
#include "core/pipeline/loaded_model.h"

namespace ditscope {

/// A method as a model calls it, without a session's figures.
class MethodAttention final : public Attention {
 public:
  explicit MethodAttention(Method& method) : method_(method) {}
  TokenOrder preferred_order(const TokenLayout& layout) const override { return method_.preferred_order(layout); }
  at::Tensor attend(const LayerCall& call) override { return method_.execute(call, method_.plan(call)); }

 private:
  Method& method_;
};

/// Full attention that shows every call to someone.
class WatchedAttention final : public Attention {
 public:
  using Visit = std::function<void(const LayerCall&, const at::Tensor& out)>;
  explicit WatchedAttention(Visit visit) : visit_(std::move(visit)) {}
  TokenOrder preferred_order(const TokenLayout&) const override { return TokenOrder::FrameMajor; }
  at::Tensor attend(const LayerCall& call) override;

 private:
  Visit visit_;
};

/// The prompts of a calibration on their way through the denoising loop, side by side.
class CalibrationRuns {
 public:
  CalibrationRuns(LoadedModel& model, const CalibrationTask& task, Watch& watch);

  int count() const { return static_cast<int>(states_.size()); }
  int steps() const { return request_.steps; }
  int layers() const;
  const std::vector<Branch>& branches() const { return branches_; }
  const CalibrationKey& key() const { return key_; }
  /// What the transformer says at a step. @return (B,F,C,Y,X) float32
  at::Tensor predict(int run, int step, Attention& attention);
  /// One step of the denoising loop of a run.
  void advance(int run, Attention& attention);
  /// Tells the sink how far it is and stops where the run is to stop.
  void report(int done, int total, const char* what);

 private:
  DenoisingTask task_of(int run) const;

  LoadedModel& model_;
  const Request& request_;
  Watch& watch_;
  std::unique_ptr<Scheduler> scheduler_;
  std::vector<Branch> branches_;
  CalibrationKey key_;
  std::vector<at::Tensor> texts_;  // (B,T,C) a run
  std::vector<DenoisingState> states_;
};

/// What a run of a request is, for calibrations. @param request  completed
CalibrationKey calibration_key(const ModelConfigs& model, const Request& request);

Calibration calibrate(LoadedModel& model, const CalibrationTask& task, Watch& watch);
// One a method; each fills in the tables.
void calibrate_ditfastattn(CalibrationRuns& runs, const CalibrationTask& task, Calibration& calibration);
void calibrate_sta(CalibrationRuns& runs, const CalibrationTask& task, Calibration& calibration);
void calibrate_spargeattn(CalibrationRuns& runs, const CalibrationTask& task, Calibration& calibration);

}  // namespace ditscope
