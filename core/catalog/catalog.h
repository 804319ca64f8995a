#pragma once
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/catalog/parameter.h"

namespace ditscope {

/// An attention method as menus, help pages and `ditscope-cli methods` show it. The code that runs it is found by `key`
/// in core/attention/registry.h; a test holds the two lists against each other.
struct MethodEntry {
  std::string key;      ///< "re-ttention"
  std::string name;     ///< "Re-ttention"
  std::string summary;  ///< one sentence
  std::string paper;    ///< "Re-ttention, NeurIPS 2025, arXiv:2505.22918"
  std::vector<Parameter> parameters;
};

struct SchedulerEntry {
  std::string key;         ///< class name as in a diffusers folder: "CogVideoXDDIMScheduler"
  std::string name;        ///< "CogVideoX DDIM"
  bool stochastic = false; ///< draws noise while stepping
  std::string summary;
};

const std::vector<MethodEntry>& methods();
const std::vector<SchedulerEntry>& schedulers();

/// @throws Error{NotFound} with the nearest name when there is no such entry
const MethodEntry& find_method(std::string_view key);
const SchedulerEntry& find_scheduler(std::string_view key);

/// "re-ttention:kept_ratio=0.0625,lambda=0.02" as typed on the command line.
struct MethodChoice {
  std::string key = "full";
  ParameterValues parameters;  ///< only what was set; the rest is the catalog's default
};

/// Fills in defaults and checks types and ranges against the catalog.
/// @throws Error{NotFound} unknown method or key, offering the nearest; Error{InvalidArgument} value out of range
MethodChoice resolve(const MethodChoice& choice);
/// As resolve(), then with the defaults of `steps` applied where a default depends on the number of steps (warm-up).
MethodChoice resolve(const MethodChoice& choice, int steps);
MethodChoice parse_method_choice(std::string_view text);
std::string to_string(const MethodChoice& choice);

/// The candidate closest to `word` by edit distance, for "did you mean".
std::optional<std::string> nearest_name(std::string_view word, const std::vector<std::string>& candidates);

}  // namespace ditscope
