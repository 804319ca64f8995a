#pragma once
#include <condition_variable>
#include <mutex>

namespace ditscope {

/// Stops, pauses and resumes a run from another thread. The run polls it once per transformer block.
class RunControl {
 public:
  /// What becomes of a stopped run: the latents are kept in either case (RunResult::partial).
  enum class Stop { None, Keep, Decode };

  void request_stop(Stop how = Stop::Keep);
  void pause();
  void resume();
  bool paused() const;
  Stop stop_requested() const;
  /// Waits while paused. @return true when the run is to stop
  bool check();

 private:
  mutable std::mutex mutex_;
  std::condition_variable changed_;
  bool paused_ = false;
  Stop stop_ = Stop::None;
};

}  // namespace ditscope
