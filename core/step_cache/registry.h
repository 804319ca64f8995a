#pragma once
#include <memory>
#include <string>
#include <vector>

#include "core/step_cache/session.h"

namespace ditscope {

/// The step cache of a choice that has one, and, in `notice`, what a person should know of it.
/// @throws Error{NotFound, InvalidArgument} as resolve()
std::unique_ptr<StepCache> make_step_cache(const MethodChoice& choice, int steps, const ModelShape& model, std::string& notice);

/// Keys of all that make_step_cache() knows, in the catalog's order.
std::vector<std::string> registered_step_caches();

}  // namespace ditscope
