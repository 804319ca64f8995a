#include "core/pipeline/request.h"

#include <cmath>
#include <limits>
#include <nlohmann/json.hpp>

#include "kernels/error.h"

namespace ditscope {
namespace {

using Json = nlohmann::json;

// Larger than any prompt that a model reads; a longer text is a mistake or an attack.
constexpr std::size_t kLargestText_bytes = 4u << 20;

[[noreturn]] void refuse(const std::string& what) {
  throw Error(ErrorKind::Corrupt, "The settings of this run cannot be read: " + what + ".");
}

[[noreturn]] void refuse_type(const std::string& key, const char* expected, const Json& value) {
  refuse("'" + key + "' is to be " + expected + ", got " + value.type_name());
}

/// The value of `key`, or null where it is absent; an explicit null counts as absent.
const Json* find(const Json& object, const std::string& key) {
  const auto found = object.find(key);
  return found == object.end() || found->is_null() ? nullptr : &*found;
}

void read(const Json& object, const char* key, std::string& out) {
  if (const Json* value = find(object, key)) {
    if (!value->is_string()) refuse_type(key, "a text", *value);
    out = value->get<std::string>();
  }
}

void read(const Json& object, const char* key, std::filesystem::path& out) {
  std::string text = out.string();
  read(object, key, text);
  out = text;
}

void read(const Json& object, const char* key, bool& out) {
  if (const Json* value = find(object, key)) {
    if (!value->is_boolean()) refuse_type(key, "true or false", *value);
    out = value->get<bool>();
  }
}

void read(const Json& object, const char* key, double& out) {
  if (const Json* value = find(object, key)) {
    if (!value->is_number()) refuse_type(key, "a number", *value);
    out = value->get<double>();
    if (!std::isfinite(out)) refuse("'" + std::string(key) + "' is to be a finite number");
  }
}

void read(const Json& object, const char* key, int& out) {
  if (const Json* value = find(object, key)) {
    if (!value->is_number_integer()) refuse_type(key, "a whole number", *value);
    const bool fits = value->is_number_unsigned()
                          ? value->get<std::uint64_t>() <= static_cast<std::uint64_t>(std::numeric_limits<int>::max())
                          : value->get<std::int64_t>() >= std::numeric_limits<int>::min();
    if (!fits) refuse("'" + std::string(key) + "' is out of range: " + value->dump());
    out = value->get<int>();
  }
}

void read(const Json& object, const char* key, std::uint64_t& out);

void read(const Json& object, const char* key, std::int64_t& out) {
  std::uint64_t value = static_cast<std::uint64_t>(out);
  read(object, key, value);
  if (value > std::uint64_t{std::numeric_limits<std::int64_t>::max()}) refuse("'" + std::string(key) + "' is out of range");
  out = static_cast<std::int64_t>(value);
}

void read(const Json& object, const char* key, std::uint64_t& out) {
  if (const Json* value = find(object, key)) {
    if (!value->is_number_unsigned()) refuse_type(key, "a whole number, 0 or more", *value);
    out = value->get<std::uint64_t>();
  }
}

ParameterValue parameter_from(const std::string& key, const Json& value) {
  if (value.is_boolean()) return value.get<bool>();
  if (value.is_number_unsigned() && value.get<std::uint64_t>() > std::uint64_t{std::numeric_limits<std::int64_t>::max()})
    refuse("'" + key + "' is out of range: " + value.dump());
  if (value.is_number_integer()) return value.get<std::int64_t>();
  if (value.is_number_float() && std::isfinite(value.get<double>())) return value.get<double>();
  if (value.is_string()) return value.get<std::string>();
  refuse_type(key, "a number, a switch or a text", value);
}

void read(const Json& object, const char* key, MethodChoice& out) {
  const Json* value = find(object, key);
  if (!value) return;
  if (!value->is_object()) refuse_type(key, "an object", *value);
  read(*value, "key", out.key);
  const Json* parameters = find(*value, "parameters");
  if (!parameters) return;
  if (!parameters->is_object()) refuse_type("parameters", "an object", *parameters);
  out.parameters.clear();
  for (const auto& [name, parameter] : parameters->items()) out.parameters[name] = parameter_from(name, parameter);
}

Json json_of(const MethodChoice& method) {
  Json parameters = Json::object();
  for (const auto& [key, value] : method.parameters) std::visit([&, k = key](const auto& v) { parameters[k] = v; }, value);
  return {{"key", method.key}, {"parameters", parameters}};
}

}  // namespace

std::string to_json(const Request& request, int indent) {
  const Json json = {
      {"model", request.model.string()},
      {"prompt", request.prompt},
      {"negative_prompt", request.negative_prompt},
      {"method", json_of(request.method)},
      {"scheduler", request.scheduler},
      {"steps", request.steps},
      {"guidance_scale", request.guidance_scale},
      {"dynamic_cfg", request.dynamic_cfg},
      {"vae_tiling", request.vae_tiling},
      {"seed", request.seed},
      {"frames", request.frames},
      {"height", request.height},
      {"width", request.width},
      {"max_sequence_length", request.max_sequence_length},
      {"dtype", request.dtype},
      {"device", request.device},
      {"threads", request.threads},
      {"memory_budget_bytes", request.memory_budget_bytes},
      {"latents_in", request.latents_in.string()},
      {"keep_latents_per_step", request.keep_latents_per_step},
  };
  // A prompt that is not UTF-8 is refused before a run; here it must not throw, so stray bytes become U+FFFD.
  return json.dump(indent, ' ', false, Json::error_handler_t::replace);
}

Request request_from_json(const std::string& text) {
  if (text.size() > kLargestText_bytes) refuse("the text has " + std::to_string(text.size()) + " bytes");
  Json json;
  try {
    json = Json::parse(text);
  } catch (const Json::exception& error) {
    refuse(std::string("it is not JSON (") + error.what() + ")");
  }
  if (!json.is_object()) refuse(std::string("an object was expected, got ") + json.type_name());

  Request request;
  read(json, "model", request.model);
  read(json, "prompt", request.prompt);
  read(json, "negative_prompt", request.negative_prompt);
  read(json, "method", request.method);
  read(json, "scheduler", request.scheduler);
  read(json, "steps", request.steps);
  read(json, "guidance_scale", request.guidance_scale);
  read(json, "dynamic_cfg", request.dynamic_cfg);
  read(json, "vae_tiling", request.vae_tiling);
  read(json, "seed", request.seed);
  read(json, "frames", request.frames);
  read(json, "height", request.height);
  read(json, "width", request.width);
  read(json, "max_sequence_length", request.max_sequence_length);
  read(json, "dtype", request.dtype);
  read(json, "device", request.device);
  read(json, "threads", request.threads);
  read(json, "memory_budget_bytes", request.memory_budget_bytes);
  read(json, "latents_in", request.latents_in);
  read(json, "keep_latents_per_step", request.keep_latents_per_step);
  return request;
}

}  // namespace ditscope
