#pragma once
#include <cstdint>
#include <map>
#include <string>
#include <variant>
#include <vector>

namespace ditscope {

/// A value of a parameter as requests, captures, JSON and controls carry it.
using ParameterValue = std::variant<bool, std::int64_t, double, std::string>;
using ParameterValues = std::map<std::string, ParameterValue>;

enum class ParameterKind { Ratio, Integer, Real, Choice, Switch };

/// A value that a paper or its code uses for one model.
struct PublishedValue {
  std::string model;  ///< "CogVideoX-2B"
  ParameterValue value;
  int of_steps = 0;          ///< the value counts steps of a run of so many; 0: it does not
  std::string setting = "";  ///< of the model, where it has several: "720p", "T2V"; the first one listed is the rule
};

/// One knob, described well enough that a window can draw its control and a command line can check its value.
struct Parameter {
  std::string key;    ///< "kept_ratio": the name in requests, JSON and on the command line
  std::string label;  ///< "Window, kept"
  std::string unit;   ///< "steps", "tokens", "" for none
  ParameterKind kind = ParameterKind::Real;
  ParameterValue default_value;
  double minimum = 0, maximum = 1, step = 0;  ///< numbers only
  bool logarithmic = false;                   ///< a slider over more than two decades
  std::vector<std::string> choices;           ///< Choice only
  std::string on_label, off_label;            ///< Switch: the name of both sides ("paper", "code")
  std::string help;                           ///< what it does, one sentence
  std::string formula, source;                ///< "rho_k = rho_0 + (k-1) lambda", "Re-ttention, its code"
  double default_per_step = 0;                ///< > 0: the default is round(default_per_step * steps) of the run
  bool step_list = false;                     ///< Choice only: `choices` are presets, any list that steps_of() reads goes
  bool artefact = false;                      ///< Choice only: or the path of a file that `ditscope-cli calibrate` made
  std::vector<PublishedValue> published;      ///< the source's values per model: see with_published()
};

}  // namespace ditscope
