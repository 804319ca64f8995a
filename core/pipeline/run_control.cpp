#include "core/pipeline/run_control.h"

namespace ditscope {

void RunControl::request_stop(Stop how) {
  std::lock_guard lock(mutex_);
  stop_ = how;
  paused_ = false;
  changed_.notify_all();
}

void RunControl::pause() {
  std::lock_guard lock(mutex_);
  paused_ = stop_ == Stop::None;
}

void RunControl::resume() {
  std::lock_guard lock(mutex_);
  paused_ = false;
  changed_.notify_all();
}

bool RunControl::paused() const {
  std::lock_guard lock(mutex_);
  return paused_;
}

RunControl::Stop RunControl::stop_requested() const {
  std::lock_guard lock(mutex_);
  return stop_;
}

bool RunControl::check() {
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [this] { return !paused_; });
  return stop_ != Stop::None;
}

}  // namespace ditscope
