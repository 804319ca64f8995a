#include "core/attention/registry.h"

#include <utility>

#include "core/attention/composed.h"
#include "core/attention/methods.h"
#include "kernels/error.h"

namespace ditscope {
namespace {

using PlannerMaker = std::unique_ptr<Planner> (*)(const ParameterValues& parameters, int steps);
using CorrectionMaker = std::unique_ptr<Correction> (*)(const ParameterValues& parameters);

template <typename Maker>
using Makers = std::vector<std::pair<std::string, Maker>>;

const Makers<PlannerMaker>& planners() {
  static const Makers<PlannerMaker> all{
      {"window", make_window},
      {"ditscope-auto", make_ditscope_auto},
      {"adaspa", make_adaspa},
      {"rectified-spaattn", make_rectified_spaattn},
      {"svg", make_svg},
      {"svg2", make_svg2},
      {"minference", make_minference},
      {"spargeattn", make_spargeattn},
      {"xattention", make_xattention},
      {"draftattention", make_draftattention},
      {"rainfusion1", make_rainfusion1},
      {"rainfusion", make_rainfusion},
      {"paroattention", make_paroattention},
      {"radial", make_radial},
      {"sta", make_sta},
  };
  return all;
}

const Makers<CorrectionMaker>& correction_makers() {
  static const Makers<CorrectionMaker> all{
      {"none", make_no_correction},
      {"re-ttention", make_rettention},
      {"window-residual", make_window_residual},
      {"rectified", make_rectified},
      {"two-level-residual", make_two_level_residual},
      {"delta", make_delta},
      {"anchored", make_anchored},
  };
  return all;
}

template <typename Maker>
Maker find(const Makers<Maker>& makers, const std::string& key) {
  for (const auto& [name, maker] : makers) {
    if (name == key) return maker;
  }
  throw Error(ErrorKind::Unsupported, "expected a method with code behind it, got \"" + key + "\"; choose another");
}

template <typename Maker>
std::vector<std::string> keys_of(const Makers<Maker>& makers) {
  std::vector<std::string> keys;
  for (const auto& [key, maker] : makers) keys.push_back(key);
  return keys;
}

/// The schedule that the parameters ask for; what a method has no parameter for does not happen.
ScheduleRule rule_of(const ParameterValues& parameters, int steps) {
  const auto integer = [&](const char* key) {
    const auto found = parameters.find(key);
    return found == parameters.end() ? 0 : static_cast<int>(std::get<std::int64_t>(found->second));
  };
  ScheduleRule rule;
  rule.warmup_steps = integer("warmup_steps");
  rule.refresh_period = integer("refresh_period");
  rule.dense_layers = integer("dense_layers");
  if (const auto found = parameters.find("search_steps"); found != parameters.end()) {
    rule.search_steps = steps_of(std::get<std::string>(found->second), steps);
    rule.warmup_steps = rule.search_steps.front();
  }
  if (const auto found = parameters.find("refresh_steps"); found != parameters.end()) {
    const std::string& list = std::get<std::string>(found->second);
    if (list != "period") {  // corrections that refresh take searches for refreshes
      rule.search_steps = steps_of(list, steps);
      rule.refresh_period = 0;
    }
  }
  return rule;
}

}  // namespace

QkPrecision qk_precision(const ParameterValues& parameters) {
  const auto found = parameters.find("qk");
  if (found == parameters.end()) return QkPrecision::Float;
  const std::string& name = std::get<std::string>(found->second);
  if (name == "int8") return QkPrecision::Int8;
  if (name == "int8-token") return QkPrecision::Int8PerToken;
  return name == "int8-unsmoothed" ? QkPrecision::Int8Unsmoothed : QkPrecision::Float;
}

std::unique_ptr<Method> make_method(const MethodChoice& choice, int steps) {
  const MethodChoice resolved = resolve(choice, steps);
  const MethodEntry& entry = find_method(resolved.key);
  if (entry.plan.empty()) return make_full_attention();
  const auto skip = resolved.parameters.find("pv_skip");
  if (skip != resolved.parameters.end() && std::get<double>(skip->second) > 0 && qk_precision(resolved.parameters) == QkPrecision::Float)
    throw Error(ErrorKind::InvalidArgument, "expected qk=int8 with pv_skip, which its kernel does, got qk=float; set one of them");
  const ScheduleRule rule = rule_of(resolved.parameters, steps);
  if (resolved.parameters.count("share_branches") > 0) {  // steps and branches may share outputs
    auto method = make_compressed(resolved.parameters, find(planners(), entry.plan)(resolved.parameters, steps), rule, steps,
                                  qk_precision(resolved.parameters));
    if (method) return method;
  }
  return std::make_unique<ComposedMethod>(find(planners(), entry.plan)(resolved.parameters, steps),
                                          find(correction_makers(), entry.correction)(resolved.parameters),
                                          rule, steps, qk_precision(resolved.parameters));
}

std::vector<std::string> registered_plans() {
  return keys_of(planners());
}
std::vector<std::string> registered_corrections() {
  return keys_of(correction_makers());
}

}  // namespace ditscope
