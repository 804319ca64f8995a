#pragma once
#include <cstdint>

#include "core/attention/layer_call.h"

namespace ditscope {

/// A planner that looks at the last full step of warm-up, for what it knows before its first choice.
class WarmupObserver {
 public:
  virtual ~WarmupObserver() = default;
  virtual void observe(const LayerCall& call, std::int64_t batch) = 0;

 protected:
  WarmupObserver() = default;
  WarmupObserver(const WarmupObserver&) = default;
};

}  // namespace ditscope
