#pragma once
#include <memory>
#include <string>
#include <vector>

#include "core/attention/method.h"
#include "core/catalog/catalog.h"

namespace ditscope {

/// The method of a choice, for one generation of `steps` steps; what the choice leaves open is the catalog's default.
/// @throws Error{NotFound, InvalidArgument} as resolve()
std::unique_ptr<Method> make_method(const MethodChoice& choice, int steps);

/// How the parameters of a method have logits formed.
QkPrecision qk_precision(const ParameterValues& parameters);

/// Keys of all plans and corrections that make_method() knows, in the catalog's order.
std::vector<std::string> registered_plans();
std::vector<std::string> registered_corrections();

}  // namespace ditscope
