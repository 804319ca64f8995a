#include "core/step_cache/registry.h"

#include <utility>

#include "core/step_cache/methods.h"
#include "kernels/error.h"

namespace ditscope {
namespace {

struct Making {
  const ParameterValues& parameters;
  int steps;
  const ModelShape& model;
  std::string& notice;
};

std::unique_ptr<StepCache> teacache(const Making& m) {
  const std::string& key = std::get<std::string>(m.parameters.at("cache_polynomial"));
  if (key == "identity") return make_teacache(m.parameters, nullptr);
  if (key != "auto") return make_teacache(m.parameters, &teacache_polynomial(key));
  const TeaCachePolynomial* fitted = teacache_polynomial(m.model.family, m.model.layers, m.model.heads, m.model.frame_patch);
  if (!fitted)
    m.notice = "TeaCache knows no polynomial for a " + m.model.family + " model of " + std::to_string(m.model.layers) + " layers and " +
               std::to_string(m.model.heads) + " heads: the change of what the first block reads counts as it is. Choose the threshold by trying.";
  return make_teacache(m.parameters, fitted);
}

using Maker = std::unique_ptr<StepCache> (*)(const Making&);

const std::vector<std::pair<std::string, Maker>>& makers() {
  static const std::vector<std::pair<std::string, Maker>> all{
      {"teacache", teacache},
      {"adacache", [](const Making& m) { return make_adacache(m.parameters, m.steps); }},
      {"foresight", [](const Making& m) { return make_foresight(m.parameters); }},
      {"fbcache", [](const Making& m) { return make_fbcache(m.parameters); }},
  };
  return all;
}

}  // namespace

std::unique_ptr<StepCache> make_step_cache(const MethodChoice& choice, int steps, const ModelShape& model, std::string& notice) {
  const MethodChoice resolved = resolve(choice, steps);
  const std::string& key = find_method(resolved.key).step_cache;
  for (const auto& [name, make] : makers()) {
    if (name == key) return make({resolved.parameters, steps, model, notice});
  }
  throw Error(ErrorKind::Unsupported, "expected a step cache with code behind it, got \"" + key + "\"; choose another");
}

std::vector<std::string> registered_step_caches() {
  std::vector<std::string> keys;
  for (const auto& [name, make] : makers()) keys.push_back(name);
  return keys;
}

}  // namespace ditscope
