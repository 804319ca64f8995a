#include "core/history/history_json.h"

#include <nlohmann/json.hpp>

#include "kernels/error.h"

namespace ditscope {
namespace {

using Json = nlohmann::json;

/// Runs a reader; what nlohmann throws becomes an Error that names the column.
template <class Read>
auto reading(const char* column, Read read) {
  try {
    return read();
  } catch (const Json::exception& error) {
    throw Error(ErrorKind::Corrupt, std::string("expected JSON in the history's column '") + column + "', got " + error.what() +
                                        "; remove this entry");
  }
}

constexpr StepRecord::Kind kKinds[] = {StepRecord::Kind::Full, StepRecord::Kind::Refresh, StepRecord::Kind::Sparse,
                                       StepRecord::Kind::Search, StepRecord::Kind::Cached};

StepRecord::Kind kind_from_name(const std::string& name) {
  for (const StepRecord::Kind kind : kKinds) {
    if (name == step_kind_name(kind)) return kind;
  }
  return StepRecord::Kind::Full;
}

}  // namespace

std::string results_to_json(const HistoryRun& run) {
  return Json{{"stages", run.stages},
              {"kept_ratio",
               {{"requested", run.kept_ratio.requested},
                {"achieved", run.kept_ratio.achieved},
                {"schedule_average", run.kept_ratio.schedule_average}}},
              {"peak_bytes", run.peak_bytes},
              {"method_bytes", run.method_bytes},
              {"reused_ratio", run.reused_ratio},
              {"noise_hash", run.noise_hash}}
      .dump(-1, ' ', false, Json::error_handler_t::replace);
}

void results_from_json(const std::string& text, HistoryRun& run) {
  reading("results", [&] {
    const Json json = Json::parse(text);
    run.stages = json.value("stages", std::map<std::string, double>());
    const Json kept = json.value("kept_ratio", Json::object());
    run.kept_ratio = {kept.value("requested", 1.0), kept.value("achieved", 1.0), kept.value("schedule_average", 1.0)};
    run.peak_bytes = json.value("peak_bytes", std::int64_t{0});
    run.method_bytes = json.value("method_bytes", std::int64_t{0});
    run.reused_ratio = json.value("reused_ratio", 0.0);
    run.noise_hash = json.value("noise_hash", std::string());
    return 0;
  });
}

std::string steps_to_json(const std::vector<StepRecord>& steps) {
  Json list = Json::array();
  for (const StepRecord& step : steps) {
    list.push_back({{"index", step.index},
                    {"timestep", step.timestep},
                    {"kind", step_kind_name(step.kind)},
                    {"seconds", step.seconds},
                    {"attention_seconds", step.attention_seconds},
                    {"kept_ratio_requested", step.kept_ratio_requested},
                    {"kept_ratio_achieved", step.kept_ratio_achieved},
                    {"reused_ratio", step.reused_ratio}});
  }
  return list.dump();
}

std::vector<StepRecord> steps_from_json(const std::string& text) {
  return reading("steps", [&] {
    std::vector<StepRecord> steps;
    for (const Json& item : Json::parse(text)) {
      StepRecord step;
      step.index = item.value("index", 0);
      step.timestep = item.value("timestep", 0.0);
      step.kind = kind_from_name(item.value("kind", std::string()));
      step.seconds = item.value("seconds", 0.0);
      step.attention_seconds = item.value("attention_seconds", 0.0);
      step.kept_ratio_requested = item.value("kept_ratio_requested", 1.0);
      step.kept_ratio_achieved = item.value("kept_ratio_achieved", 1.0);
      step.reused_ratio = item.value("reused_ratio", 0.0);
      steps.push_back(step);
    }
    return steps;
  });
}

std::string requests_to_json(const std::vector<Request>& requests) {
  Json list = Json::array();
  for (const Request& request : requests) list.push_back(Json::parse(to_json(request)));
  return list.dump();
}

std::vector<Request> requests_from_json(const std::string& text) {
  return reading("requests", [&] {
    std::vector<Request> requests;
    for (const Json& item : Json::parse(text)) requests.push_back(request_from_json(item.dump()));
    return requests;
  });
}

}  // namespace ditscope
