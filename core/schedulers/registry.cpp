#include <functional>
#include <nlohmann/json.hpp>
#include <utility>

#include "core/schedulers/cogvideox_ddim.h"
#include "core/schedulers/cogvideox_dpm.h"
#include "core/schedulers/scheduler.h"
#include "kernels/error.h"

namespace ditscope {
namespace {

template <class T>
std::unique_ptr<Scheduler> make(const std::string& json) {
  return std::make_unique<T>(CogVideoXScheduleConfig::from_json(json));
}

struct Entry {
  const char* name;
  std::unique_ptr<Scheduler> (*make)(const std::string& json);
};
constexpr Entry kSchedulers[] = {
    {"CogVideoXDDIMScheduler", make<CogVideoXDdimScheduler>},
    {"CogVideoXDPMScheduler", make<CogVideoXDpmScheduler>},
};

}  // namespace

std::unique_ptr<Scheduler> make_scheduler(const std::string& config_json, const std::string& class_name) {
  std::string wanted = class_name;
  if (wanted.empty()) {
    const auto object = nlohmann::json::parse(config_json, nullptr, false);
    if (!object.is_object() || !object.contains("_class_name") || !object["_class_name"].is_string()) {
      throw Error(ErrorKind::Corrupt, "expected \"_class_name\" in scheduler_config.json; download the file again");
    }
    wanted = object["_class_name"].get<std::string>();
  }
  for (const Entry& entry : kSchedulers) {
    if (wanted == entry.name) return entry.make(config_json);
  }
  std::string message = "expected one of the schedulers";
  for (const Entry& entry : kSchedulers) message += std::string(" ") + entry.name;
  throw Error(ErrorKind::Unsupported, message + ", got " + wanted + "; choose one of these");
}

const std::vector<std::string>& scheduler_names() {
  static const std::vector<std::string> names = [] {
    std::vector<std::string> out;
    for (const Entry& entry : kSchedulers) out.push_back(entry.name);
    return out;
  }();
  return names;
}

}  // namespace ditscope
