#include "core/attention/calibration.h"

#include <cstdio>
#include <fstream>
#include <nlohmann/json.hpp>

#include "core/files/atomic_file.h"
#include "kernels/error.h"

namespace ditscope {
namespace {

using Json = nlohmann::json;

constexpr const char* kFormat = "ditscope calibration 1";
constexpr std::uintmax_t kLargest_bytes = 256u << 20;

/// The sizes of a key under the names they have in the file.
std::vector<std::pair<const char*, std::int64_t>> sizes_of(const CalibrationKey& key) {
  return {{"layers", key.layers},   {"steps", key.steps}, {"heads", key.heads},     {"head_dim", key.head_dim},
          {"frames", key.frames},   {"rows", key.rows},   {"columns", key.columns}, {"text_tokens", key.text_tokens}};
}

[[noreturn]] void corrupt(const std::filesystem::path& file, const std::string& what) {
  throw Error(ErrorKind::Corrupt, file.string() + " is no calibration: " + what + ". Make it anew with ditscope-cli calibrate.");
}

std::int64_t count_of(const std::vector<std::int64_t>& shape) {
  std::int64_t count = 1;
  for (const std::int64_t size : shape) count *= size;
  return count;
}

std::string shape_text(const std::vector<std::int64_t>& shape) {
  std::string text;
  for (const std::int64_t size : shape) text += (text.empty() ? "(" : ",") + std::to_string(size);
  return text + ")";
}

/// Calls visit(parameter, file) for every calibration that a choice names.
template <typename Visit>
void each_calibration(const MethodChoice& choice, const Visit& visit) {
  for (const Parameter& parameter : find_method(choice.key).parameters) {
    const auto set = choice.parameters.find(parameter.key);
    if (!parameter.artefact || set == choice.parameters.end()) continue;
    if (const std::string& value = std::get<std::string>(set->second); value != parameter.choices.front()) visit(value);
  }
}

}  // namespace

std::string CalibrationKey::hash() const {
  std::string text = model;
  for (const auto& [name, size] : sizes_of(*this)) text += "\n" + std::string(name) + " " + std::to_string(size);
  std::uint64_t hash = 0xcbf29ce484222325u;
  for (const unsigned char c : text) hash = (hash ^ c) * 0x100000001b3u;
  char digits[17];
  std::snprintf(digits, sizeof digits, "%016llx", static_cast<unsigned long long>(hash));
  return digits;
}

double Calibration::Table::at(std::initializer_list<std::int64_t> index) const {
  std::int64_t place = 0;
  auto size = shape.begin();
  for (const std::int64_t i : index) place = place * *size++ + i;
  return values[static_cast<std::size_t>(place)];
}

const Calibration::Table& Calibration::table(const std::string& name, const std::vector<std::int64_t>& shape) const {
  const auto found = tables.find(name);
  if (found == tables.end() || found->second.shape != shape)
    throw Error(ErrorKind::Corrupt, "expected a table \"" + name + "\" " + shape_text(shape) + " in the calibration of " + method + ", got " +
                                        (found == tables.end() ? "none" : shape_text(found->second.shape)) +
                                        "; make it anew with ditscope-cli calibrate");
  return found->second;
}

Calibration Calibration::read(const std::filesystem::path& file) {
  std::error_code failed;
  const auto bytes = std::filesystem::file_size(file, failed);
  std::ifstream stream(file, std::ios::binary);
  if (failed || !stream)
    throw Error(ErrorKind::NotFound, "There is no calibration " + file.string() +
                                         ". Put it back there, set the parameter to where it is now, or make one with ditscope-cli calibrate.");
  if (bytes > kLargest_bytes) corrupt(file, "it has " + std::to_string(bytes) + " bytes");
  Calibration c;
  std::string hash;
  try {
    const Json json = Json::parse(stream);
    if (json.at("format") != kFormat) corrupt(file, "its format is not \"" + std::string(kFormat) + "\"");
    c.method = json.at("method");
    const Json& key = json.at("key");
    c.key.model = key.at("model");
    const auto size = [&](const char* name) { return key.at(name).get<std::int64_t>(); };
    c.key.layers = static_cast<int>(size("layers"));
    c.key.steps = static_cast<int>(size("steps"));
    c.key.heads = size("heads");
    c.key.head_dim = size("head_dim");
    c.key.frames = size("frames");
    c.key.rows = size("rows");
    c.key.columns = size("columns");
    c.key.text_tokens = size("text_tokens");
    hash = json.at("hash");
    for (const auto& [name, table] : json.at("tables").items())
      c.tables[name] = {table.at("shape").get<std::vector<std::int64_t>>(), table.at("values").get<std::vector<double>>()};
    if (json.contains("settings")) c.settings = json.at("settings").get<std::map<std::string, std::string>>();
  } catch (const Json::exception& error) {
    corrupt(file, error.what());
  }
  for (const auto& [name, table] : c.tables) {
    if (count_of(table.shape) != static_cast<std::int64_t>(table.values.size()))
      corrupt(file, "table \"" + name + "\" " + shape_text(table.shape) + " holds " + std::to_string(table.values.size()) + " values");
  }
  if (hash != c.key.hash()) corrupt(file, "its hash is not that of its key");
  return c;
}

void Calibration::write(const std::filesystem::path& file) const {
  Json key_json = {{"model", key.model}}, tables_json = Json::object();
  for (const auto& [name, size] : sizes_of(key)) key_json[name] = size;
  for (const auto& [name, table] : tables) tables_json[name] = {{"shape", table.shape}, {"values", table.values}};
  const Json json = {{"format", kFormat}, {"method", method},     {"key", key_json},
                     {"hash", key.hash()}, {"tables", tables_json}, {"settings", settings}};
  write_file(file, json.dump(1) + '\n');
}

MethodChoice with_absolute_calibrations(MethodChoice choice) {
  for (const Parameter& parameter : find_method(choice.key).parameters) {
    const auto set = choice.parameters.find(parameter.key);
    if (!parameter.artefact || set == choice.parameters.end()) continue;
    std::string& value = std::get<std::string>(set->second);
    if (value != parameter.choices.front()) value = std::filesystem::absolute(value).lexically_normal().string();
  }
  return choice;
}

bool has_calibration(const MethodChoice& choice) {
  bool any = false;
  each_calibration(choice, [&](const std::string&) { any = true; });
  return any;
}

void require_calibrations(const MethodChoice& choice, const CalibrationKey& run) {
  each_calibration(choice, [&](const std::string& file) {
    const Calibration c = Calibration::read(file);
    const auto refuse = [&](const std::string& what, const std::string& made_for, const std::string& got) {
      throw Error(ErrorKind::InvalidArgument, "The calibration " + file + " was made for " + what + " " + made_for + ", this run has " + got +
                                                  ". Make one for it with ditscope-cli calibrate.");
    };
    if (c.method != choice.key.substr(0, choice.key.find('+'))) refuse("the method", c.method, choice.key);
    CalibrationKey compared = run;
    if (run.model.empty()) compared.model = c.key.model;
    if (compared.hash() == c.key.hash()) return;
    const auto made = sizes_of(c.key), now = sizes_of(run);
    for (std::size_t i = 0; i < made.size(); ++i)
      if (made[i].second != now[i].second) refuse(made[i].first, std::to_string(made[i].second), std::to_string(now[i].second));
    refuse("the model", c.key.model.substr(0, 12), run.model.substr(0, 12));
  });
}

}  // namespace ditscope
