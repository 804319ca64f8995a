#include "core/bridge/profile.h"

namespace ditscope {
namespace {

using Clock = std::chrono::steady_clock;

double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

}  // namespace

thread_local Profile* Profile::current_ = nullptr;

Profile::Stage::Stage(const char* name) : start_(Clock::now()) {
  if (profile_) profile_->stage_ = name;
}

Profile::Stage::~Stage() {
  if (!profile_) return;
  profile_->stage_seconds_[profile_->stage_] += seconds_since(start_);
  profile_->stage_.clear();
}

void Profile::Stretch::finish() const {
  Sum& sum = profile_->sums_[{profile_->stage_, kind_, name_, profile_->layer_}];
  ++sum.calls;
  sum.seconds += seconds_since(start_);
  sum.flop += flop_;
}

const char* profile_kind_name(Profile::Kind kind) {
  switch (kind) {
    case Profile::Kind::Gemm:
      return "gemm";
    case Profile::Kind::Convolution:
      return "convolution";
    case Profile::Kind::Attention:
      return "attention";
    case Profile::Kind::Elementwise:
      return "elementwise";
  }
  return "";
}

}  // namespace ditscope
