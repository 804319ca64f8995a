#pragma once
#include <nlohmann/json.hpp>
#include <optional>

#include "core/capture/records.h"

namespace ditscope::cli {

/// null where it was not measured, and for NaN and infinity, which JSON does not have.
nlohmann::json or_null(const std::optional<double>& value);
/// A text of JSON as JSON; as a string where it is none.
nlohmann::json parsed(const std::string& text);
nlohmann::json json_of(const CaptureRun& run);
nlohmann::json json_of(const CaptureStep& step);
/// With its heads.
nlohmann::json json_of(const CaptureCall& call);

}  // namespace ditscope::cli
