#pragma once
#include "core/attention/memory_budget.h"
#include "core/attention/method.h"
#include "core/pipeline/model_configs.h"
#include "core/pipeline/request.h"

namespace ditscope {

/// Sizes that the memory of a request's method depends on. @param request  completed
MethodSizes method_sizes(const ModelConfigs& model, const Request& request);
/// What a request's method may hold where it runs; on a GPU, what residual=host may take of the host's memory besides.
MemoryBudget memory_budget(const Request& request, std::int64_t device_bytes);

}  // namespace ditscope
