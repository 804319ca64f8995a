#pragma once
#include <chrono>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "core/capture/capture_options.h"
#include "core/pipeline/generator.h"
#include "kernels/error.h"
#include "views/state/results.h"

namespace ditscope::gui {

/// What a capture keeps besides its level.
struct RecordingWish {
  IndexSet layers, steps, shadow;                        ///< as of CaptureOptions
  std::int64_t budget_bytes = CaptureOptions().budget_bytes;
};

/// What the Request panel edits and a press of Generate asks for: one request, run once for each method. The first is the
/// reference.
struct PairRequest {
  Request base;                       ///< its `method` is not used
  std::vector<MethodChoice> methods;  ///< 1..4
  CaptureOptions::Level capture = CaptureOptions::Level::Off;  ///< of this press; no part of the history
  RecordingWish recording;                                     ///< of this press, too
  CaptureOptions capture_options() const {
    CaptureOptions options;
    options.level = capture;
    options.layers = recording.layers, options.steps = recording.steps, options.shadow = recording.shadow;
    options.budget_bytes = recording.budget_bytes;
    options.runs = static_cast<int>(methods.size());
    return options;
  }
  Request request_of(std::size_t run) const {
    Request request = base;
    request.method = methods.at(run);
    return request;
  }
};

struct Job {
  std::int64_t id = 0;  ///< "#42": counts up over the life of the history
  PairRequest pair;
};

enum class RunState { Waiting, Running, Done, Stopped, Failed };

/// One run of a job as everybody may see it. Never changed once published.
struct RunView {
  RunState state = RunState::Waiting;
  MethodChoice method;
  int total_steps = 0;
  std::vector<StepRecord> steps;
  std::vector<std::shared_ptr<const Frames>> previews;  ///< x0 after each of `steps`
  std::shared_ptr<const RunResult> result;              ///< Done and Stopped
  std::optional<views::PairMetrics> metrics;            ///< against the first run
  std::string error;                                    ///< Failed
  ErrorKind error_kind = ErrorKind::InvalidArgument;
};

struct JobView {
  Job job;
  std::vector<std::shared_ptr<const RunView>> runs;
  double finished_at = 0;  ///< seconds since 1970
  std::filesystem::path capture;  ///< what it is recorded into; empty: nothing
  bool finished() const;   ///< every run Done
  bool stopped() const;
  bool failed() const;
  /// Index of the run that goes on now or stands first in line; runs.size() at the end.
  std::size_t current() const;
};

/// What goes on now. Never changed once published.
struct Snapshot {
  std::shared_ptr<const JobView> running;  ///< null: idle
  std::vector<Job> waiting;
  std::string doing;             ///< "Sampling: step 12 of 30, layer 5 of 8"; empty when idle
  double elapsed_seconds = 0;    ///< of the current run, at `taken`
  double remaining_seconds = 0;  ///< estimate for the current run, at `taken`; 0: unknown
  std::chrono::steady_clock::time_point taken;
  bool paused = false;
};

}  // namespace ditscope::gui
