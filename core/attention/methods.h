#pragma once
#include <memory>

#include "core/attention/method.h"
#include "core/catalog/parameter.h"

namespace ditscope {

// One maker a method; each takes the parameters of its catalog entry, all of them set.
std::unique_ptr<Method> make_full_attention(const ParameterValues& parameters, int steps);
std::unique_ptr<Method> make_window(const ParameterValues& parameters, int steps);
std::unique_ptr<Method> make_ditfastattn(const ParameterValues& parameters, int steps);
std::unique_ptr<Method> make_rettention(const ParameterValues& parameters, int steps);

}  // namespace ditscope
