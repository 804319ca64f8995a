#pragma once
#include <cstdint>
#include <optional>
#include <string>

#include "core/attention/method.h"
#include "core/catalog/catalog.h"

namespace ditscope {

/// What a method will hold between steps.
struct MethodMemory {
  std::int64_t device_bytes = 0;  ///< where the run is
  std::int64_t host_bytes = 0;    ///< in the host's memory by choice (residual=host)
};
MethodMemory method_memory(const MethodChoice& choice, int steps, const MethodSizes& sizes);

/// The most that a method may hold. A run on the host has one memory: both parts count against `device_bytes`.
struct MemoryBudget {
  std::int64_t device_bytes = 0;
  std::optional<std::int64_t> host_bytes = std::nullopt;  ///< of a run on a GPU
};

/// Refuses a method that would hold more than the budget between steps, before anything is allocated.
/// @throws Error{OutOfMemory} saying how much it would hold and which forms of its residual fit
void require_memory_budget(const MethodChoice& choice, int steps, const MethodSizes& sizes, const MemoryBudget& budget);
inline void require_memory_budget(const MethodChoice& choice, int steps, const MethodSizes& sizes, std::int64_t budget_bytes) {
  require_memory_budget(choice, steps, sizes, MemoryBudget{budget_bytes});
}

/// " With residual=bf16 it holds 1.9 GB, with residual=fp8 ...": the forms of a method's residual that hold less than it does now
/// and no more than the budget, most exact first; "" where there is none. One in the host's memory says so.
std::string lighter_residuals(const MethodChoice& choice, int steps, const MethodSizes& sizes, const MemoryBudget& budget);

/// "3.8 GB", "12 MB".
std::string bytes_text(std::int64_t bytes);

}  // namespace ditscope
