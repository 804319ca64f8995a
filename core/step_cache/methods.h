#pragma once
#include <memory>

#include "core/catalog/step_caches.h"
#include "core/step_cache/step_cache.h"

namespace ditscope {

// One maker a method; each takes the parameters of its catalog entry, all of them set.

/// @param polynomial  null: identity, of what the first block reads
std::unique_ptr<StepCache> make_teacache(const ParameterValues& parameters, const TeaCachePolynomial* polynomial);
std::unique_ptr<StepCache> make_adacache(const ParameterValues& parameters, int steps);
std::unique_ptr<StepCache> make_foresight(const ParameterValues& parameters);
std::unique_ptr<StepCache> make_fbcache(const ParameterValues& parameters);

}  // namespace ditscope
