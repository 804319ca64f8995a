#pragma once
#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>

#include "core/capture/capture_options.h"
#include "core/capture/records.h"

namespace ditscope {

/// What a writer has done so far.
struct CaptureTotals {
  std::int64_t bytes = 0;         ///< of the file
  std::int64_t queued_bytes = 0;  ///< handed over, not yet written
  std::int64_t gap_bytes = 0;     ///< left out: see the table `gaps`
  int gaps = 0, steps = 0;        ///< complete steps
  bool capturing = true;          ///< false: the disk or the budget is full, what comes is dropped; the run goes on
  std::string message;            ///< why
};

/// Writes one .ditcap file. Rows and arrays are handed over and written by the writer's own thread, a transaction a step: a crash
/// leaves all complete steps. Readers of the same file are never waited for, nor do they wait.
///
/// The run waits only where the queue (256 MiB, at most 1/16 of the memory) is full of what must not be lost; maps and rows are
/// dropped then and their place is noted in `gaps`. Disk trouble never throws into the run: see totals().
/// Called from one thread; totals() from any.
class CaptureWriter {
 public:
  /// Begins a file; one of that name is replaced when the new one is whole.
  /// @throws Error{Device} when it cannot be made there
  CaptureWriter(const std::filesystem::path& file, const CaptureOptions& options);
  /// Closes what close() has not, with the state "recording".
  ~CaptureWriter();
  CaptureWriter(const CaptureWriter&) = delete;
  CaptureWriter& operator=(const CaptureWriter&) = delete;

  const std::filesystem::path& file() const;
  const CaptureOptions& options() const;

  /// @param sizes what the budget keeps room for  @return the run's id, 1 for the first
  int begin_run(CaptureRun run, const CaptureSizes& sizes);
  /// Belongs to the step that end_step() closes, or to the run where step is -1.
  void add(CaptureTensor tensor);
  void add(CaptureCall call);
  void note_gap(CaptureGap gap);
  /// Makes what was added so far last, before the first step.
  void keep();
  /// Makes the step and what was added to it last.
  void end_step(CaptureStep step);
  /// Drops what was added since the last end_step(): the step was stopped.
  void abandon_step();
  /// Fills in the figures and the state of a run, and keeps what was added after the last step.
  void end_run(const CaptureRun& run);

  /// Waits until all is written and leaves a single file (with an empty log beside it while a reader has it open). @param state  "complete" or "stopped: <why>"
  void close(const std::string& state = "complete");
  /// Waits until what was added is written: for tests and for readers that follow step by step.
  void drain();

  CaptureTotals totals() const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

/// UTC now as ISO 8601 with milliseconds.
std::string utc_now();

}  // namespace ditscope
