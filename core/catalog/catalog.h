#pragma once
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/catalog/parameter.h"

namespace ditscope {

/// An attention method as menus, help pages and `ditscope-cli methods` show it. The code that runs it is found in
/// core/attention/registry.h by its plan and its correction; a test holds the lists against each other.
struct MethodEntry {
  std::string key;      ///< "re-ttention"
  std::string name;     ///< "Re-ttention"
  std::string summary;  ///< one sentence
  std::string paper;    ///< "Re-ttention, NeurIPS 2025, arXiv:2505.22918"
  std::vector<Parameter> parameters;
  std::string plan = "";                ///< what chooses the blocks: key of the method it is named after; empty: nothing to choose
  std::string correction = "none";      ///< key of the correction that comes with it
  std::vector<Parameter> plan_parameters = {};  ///< those of `parameters` that stay under another correction
  std::string step_cache = "";          ///< key of the step cache that goes with it (core/catalog/step_caches.h); empty: none
};

/// What makes up for the pairs that a plan skips. Any plan takes any correction: "adaspa+re-ttention" is the plan of the method
/// before the plus with the correction after it.
struct CorrectionEntry {
  std::string key;      ///< "re-ttention"
  std::string name;     ///< "Scale by rho, add residual"
  std::string summary;  ///< one sentence
  std::string paper;
  std::vector<Parameter> parameters;
};

struct SchedulerEntry {
  std::string key;          ///< class name as in a diffusers folder: "CogVideoXDDIMScheduler"
  std::string name;         ///< "CogVideoX DDIM"
  bool stochastic = false;  ///< draws noise while stepping
  std::string summary;
};

const std::vector<MethodEntry>& methods();
const std::vector<CorrectionEntry>& corrections();
const std::vector<SchedulerEntry>& schedulers();

/// The entry of a method, or of a plan and a correction joined by a plus; either may end in a plus and a step cache.
/// @throws Error{NotFound} with the nearest name when there is no such entry
const MethodEntry& find_method(std::string_view key);
const CorrectionEntry& find_correction(std::string_view key);
const SchedulerEntry& find_scheduler(std::string_view key);

/// "re-ttention:kept_ratio=0.0625,lambda=0.02" as typed on the command line.
struct MethodChoice {
  std::string key = "full";
  ParameterValues parameters;  ///< only what was set; the rest is the catalog's default
};

/// The default of one parameter in a run of `steps` steps.
ParameterValue default_value(const Parameter& parameter, int steps);

/// Fills in defaults and checks types and ranges against the catalog. Parameters whose default follows the number of steps
/// (warm-up) stay unset unless they were set, so that a later resolve(choice, steps) can still fill them in.
/// @throws Error{NotFound} unknown method or key, offering the nearest; Error{InvalidArgument} value of a wrong type or out of
/// range
MethodChoice resolve(const MethodChoice& choice);
/// As resolve(), with every parameter set: the defaults that depend on the number of steps are those of `steps`.
MethodChoice resolve(const MethodChoice& choice, int steps);

/// The choice with the values that the method's paper or code gives for a model in place of those left open; counts of steps become
/// the same shares of `steps`. Unchanged for a model that it does not name, "" among them.
MethodChoice with_published(const MethodChoice& choice, std::string_view model, int steps);
/// Where the values come from that a choice leaves open, one sentence: which are published for the model, or that none is and the
/// catalog's defaults, derived from other models, stand. Empty for full attention and where nothing is left open.
/// @param name  what to call the model where it is not among the published ones
std::string defaults_note(const MethodChoice& choice, std::string_view model, std::string_view name);

/// Reads "name" or "name:key=value,key=value" and checks it as resolve() does; only what the text sets is in the result.
/// Ratios also as "3.1%" and "1/32", switches as on/off, true/false, yes/no, 1/0 or the names of their sides.
/// @throws Error{NotFound, InvalidArgument}
MethodChoice parse_method_choice(std::string_view text);
/// The inverse of parse_method_choice(): values read back equal.
std::string to_string(const MethodChoice& choice);

/// Reads a list of steps, "10/30" or, as shares of the run, "20%/60%": ascending, each counted from 0.
/// @throws Error{InvalidArgument} where the text is no such list
std::vector<int> steps_of(std::string_view text, int steps);

/// The candidate closest to `word` by edit distance, for "did you mean".
std::optional<std::string> nearest_name(std::string_view word, const std::vector<std::string>& candidates);

}  // namespace ditscope
