#pragma once
// Internal to core/history: the JSON columns.
#include <string>
#include <vector>

#include "core/history/history.h"

namespace ditscope {

std::string results_to_json(const HistoryRun& run);
void results_from_json(const std::string& text, HistoryRun& run);
std::string steps_to_json(const std::vector<StepRecord>& steps);
std::vector<StepRecord> steps_from_json(const std::string& text);
std::string requests_to_json(const std::vector<Request>& requests);
std::vector<Request> requests_from_json(const std::string& text);

}  // namespace ditscope
