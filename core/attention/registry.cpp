#include "core/attention/registry.h"

#include <utility>

#include "core/attention/methods.h"
#include "kernels/error.h"

namespace ditscope {
namespace {

using Maker = std::unique_ptr<Method> (*)(const ParameterValues& parameters, int steps);

const std::vector<std::pair<std::string, Maker>>& makers() {
  static const std::vector<std::pair<std::string, Maker>> all{
      {"full", make_full_attention},
      {"window", make_window},
      {"ditfastattn", make_ditfastattn},
      {"re-ttention", make_rettention},
  };
  return all;
}

}  // namespace

std::unique_ptr<Method> make_method(const MethodChoice& choice, int steps) {
  const MethodChoice resolved = resolve(choice, steps);
  for (const auto& [key, make] : makers()) {
    if (key == resolved.key) return make(resolved.parameters, steps);
  }
  throw Error(ErrorKind::Unsupported, "expected a method with code behind it, got \"" + resolved.key + "\"; choose another");
}

std::vector<std::string> registered_methods() {
  std::vector<std::string> keys;
  for (const auto& [key, make] : makers()) keys.push_back(key);
  return keys;
}

}  // namespace ditscope
