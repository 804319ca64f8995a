#pragma once
#include <cstdint>
#include <string>

#include "core/attention/method.h"
#include "core/catalog/catalog.h"

namespace ditscope {

/// Refuses a method that would hold more than the budget between steps, before anything is allocated.
/// @throws Error{OutOfMemory} saying how much it would hold and which forms of its residual fit
void require_memory_budget(const MethodChoice& choice, int steps, const MethodSizes& sizes, std::int64_t budget_bytes);

/// " With residual=bf16 it holds 1.9 GB, with residual=fp8 ...": the forms of a method's residual that hold less than it does now
/// and no more than the budget, most exact first; "" where there is none.
std::string lighter_residuals(const MethodChoice& choice, int steps, const MethodSizes& sizes, std::int64_t budget_bytes);

/// "3.8 GB", "12 MB".
std::string bytes_text(std::int64_t bytes);

}  // namespace ditscope
