#pragma once
#include <filesystem>
#include <functional>
#include <string>

#include "core/pipeline/events.h"
#include "core/pipeline/run_control.h"
#include "core/study/plan.h"

namespace ditscope::study {

/// How far a study is.
struct Progress {
  int done = 0, total = 0;      ///< runs
  std::string what;             ///< "matching adaspa", "prompt 3, re-ttention@0.0625"
};

/// Runs what is missing in the folder: matches every method to the kept ratios, then all runs of the plan. The first steps of a
/// prompt, full for every method, are computed once. A stop leaves what is complete; the same call goes on.
/// @return whether all is complete
/// @throws Error{InvalidArgument, NotFound} of the settings, before anything runs; see also Folder
bool run_claims(const Settings& settings, const std::filesystem::path& folder, RunControl& control,
                const std::function<void(const Progress&)>& progress);

}  // namespace ditscope::study
