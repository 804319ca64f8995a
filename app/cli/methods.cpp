#include <nlohmann/json.hpp>

#include "app/cli/commands.h"
#include "app/cli/console.h"
#include "app/cli/exit_codes.h"
#include "core/catalog/catalog.h"
#include "core/catalog/step_caches.h"

namespace ditscope::cli {
namespace {

using Json = nlohmann::json;

Json json_of(const ParameterValue& value) {
  return std::visit([](const auto& v) { return Json(v); }, value);
}

const char* kind_name(ParameterKind kind) {
  switch (kind) {
    case ParameterKind::Ratio:
      return "ratio";
    case ParameterKind::Integer:
      return "integer";
    case ParameterKind::Real:
      return "real";
    case ParameterKind::Choice:
      return "choice";
    case ParameterKind::Switch:
      return "switch";
  }
  return "real";
}

bool is_number(ParameterKind kind) {
  return kind != ParameterKind::Choice && kind != ParameterKind::Switch;
}

Json json_of(const Parameter& parameter) {
  Json json = {{"key", parameter.key},
               {"label", parameter.label},
               {"kind", kind_name(parameter.kind)},
               {"unit", parameter.unit},
               {"default", json_of(parameter.default_value)},
               {"help", parameter.help},
               {"formula", parameter.formula},
               {"source", parameter.source}};
  if (is_number(parameter.kind)) json["range"] = {parameter.minimum, parameter.maximum};
  if (parameter.kind == ParameterKind::Choice) json["choices"] = parameter.choices;
  if (parameter.step_list) json["step_list"] = true;
  if (parameter.artefact) json["artefact"] = true;
  for (const PublishedValue& p : parameter.published) {
    Json published = {{"model", p.model}, {"value", json_of(p.value)}};
    if (p.of_steps > 0) published["of_steps"] = p.of_steps;
    if (!p.setting.empty()) published["setting"] = p.setting;
    json["published"].push_back(published);
  }
  return json;
}

Json json_of(const MethodEntry& method) {
  Json parameters = Json::array();
  for (const Parameter& parameter : method.parameters) parameters.push_back(json_of(parameter));
  return {{"key", method.key},
          {"name", method.name},
          {"summary", method.summary},
          {"paper", method.paper},
          {"plan", method.plan},
          {"correction", method.correction},
          {"step_cache", method.step_cache},
          {"parameters", parameters}};
}

/// Of a correction or a step cache.
template <typename Part>
Json json_of_part(const Part& part) {
  Json parameters = Json::array();
  for (const Parameter& parameter : part.parameters) parameters.push_back(json_of(parameter));
  return {{"key", part.key}, {"name", part.name}, {"summary", part.summary}, {"paper", part.paper}, {"parameters", parameters}};
}

/// The numbers that TeaCache's "auto" chooses from, by the shape of a model.
Json polynomials() {
  Json list = Json::array();
  for (const TeaCachePolynomial& p : teacache_polynomials()) {
    list.push_back({{"key", p.key},
                    {"family", p.family},
                    {"layers", p.layers},
                    {"heads", p.heads},
                    {"frame_patch", p.frame_patch},
                    {"signal", p.signal == StepSignal::Time ? "time" : p.signal == StepSignal::Projected ? "projected" : "modulated"},
                    {"coefficients", p.coefficients},
                    {"source", p.source}});
  }
  return list;
}

std::string text_of(const Parameter& parameter) {
  std::string text = "      " + parameter.key + " = " + json_of(parameter.default_value).dump();
  if (!parameter.unit.empty()) text += " " + parameter.unit;
  if (is_number(parameter.kind)) text += "  (" + Json(parameter.minimum).dump() + " to " + Json(parameter.maximum).dump() + ")";
  for (std::size_t i = 0; i < parameter.choices.size(); ++i) text += (i == 0 ? "  (" : ", ") + parameter.choices[i];
  if (!parameter.choices.empty()) text += ")";
  return text + "\n          " + parameter.help;
}

std::string text_of(const MethodEntry& method) {
  std::string text = method.key + "  " + method.name + "\n    " + method.summary;
  if (!method.paper.empty()) text += "\n    " + method.paper;
  for (const Parameter& parameter : method.parameters) text += "\n" + text_of(parameter);
  return text;
}

void run_methods(const std::string& name) {
  std::vector<const MethodEntry*> chosen;
  if (name.empty())
    for (const MethodEntry& method : methods()) chosen.push_back(&method);
  else
    chosen.push_back(&find_method(name));
  Json json = Json::array();
  std::string text;
  for (const MethodEntry* method : chosen) {
    json.push_back(json_of(*method));
    text += (text.empty() ? "" : "\n\n") + text_of(*method);
  }
  Json corrected = Json::array();
  text += name.empty() ? "\n\nCorrections, for any method but full, as in adaspa+re-ttention:" : "";
  for (const CorrectionEntry& correction : corrections()) {
    corrected.push_back(json_of_part(correction));
    if (name.empty()) text += "\n  " + correction.key + "  " + correction.summary;
  }
  Json caches = Json::array();
  text += name.empty() ? "\n\nStep caches, for any method, last in its name, as in full+teacache:" : "";
  for (const StepCacheEntry& cache : step_caches()) {
    caches.push_back(json_of_part(cache));
    if (name.empty()) text += "\n  " + cache.key + "  " + cache.summary;
  }
  print_result(json_wanted() ? Json{{"methods", json}, {"corrections", corrected}, {"step_caches", caches}, {"teacache_polynomials", polynomials()}}.dump(2)
                             : text);
}

}  // namespace

void add_methods(CLI::App& app) {
  auto name = std::make_shared<std::string>();
  CLI::App* command = app.add_subcommand("methods", "List the attention methods and their parameters");
  command->add_option("name", *name, "Only this method, or a plan, a correction and a step cache joined by +");
  add_json_flag(*command);
  command->footer(std::string("Examples:\n  ditscope-cli methods\n  ditscope-cli methods re-ttention --json\n\n") +
                  kExitCodeHelp);
  command->callback([name] { run_methods(*name); });
}

}  // namespace ditscope::cli
