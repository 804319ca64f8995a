#pragma once
#include <chrono>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>

#include "core/training/optimizer.h"
#include "core/training/trainer.h"

namespace ditscope {

/// The clock of one run: how far it is, what the learning rate is, when to report and to save. Survives a restart.
class TrainingRun {
 public:
  TrainingRun(const TrainingOptions& options, TrainingReport report, TrainingStop stop);

  /// Restores optimiser and clock from the folder's state where there is one. @return true when a run goes on
  bool restore(Optimizer& optimizer);
  void save(const Optimizer& optimizer);

  double fraction() const;  ///< 0..1
  bool finished() const { return stop_() || fraction() >= 1.0; }
  bool stopped() const { return stop_(); }
  /// Counts a step; reports every few seconds. @return true when it is time to save
  bool advance(double loss, double gradient_norm, double learning_rate, const std::string& phase, double quality = 0);
  std::int64_t step() const { return step_; }

 private:
  using Clock = std::chrono::steady_clock;
  double seconds() const;

  TrainingOptions options_;
  TrainingReport report_;
  TrainingStop stop_;
  Clock::time_point started_ = Clock::now(), reported_ = Clock::now(), saved_ = Clock::now();
  double seconds_before_ = 0;
  std::int64_t step_ = 0, steps_since_report_ = 0;
  double loss_since_report_ = 0;
};

/// Autocast to bfloat16 for the time of a scope; weights stay float32.
class Bfloat16Scope {
 public:
  Bfloat16Scope(bool enabled, bool cuda);
  ~Bfloat16Scope();

 private:
  bool enabled_, cuda_;
};

}  // namespace ditscope
