#pragma once
#include "core/attention/method.h"
#include "core/pipeline/model_configs.h"
#include "core/pipeline/request.h"

namespace ditscope {

/// Sizes that the memory of a request's method depends on. @param request  completed
MethodSizes method_sizes(const ModelConfigs& model, const Request& request);

}  // namespace ditscope
