#pragma once
#include <functional>

#include "app/cli/console.h"
#include "app/cli/report.h"
#include "app/cli/run_options.h"

namespace ditscope::cli {

/// One of the prompts of a command.
struct PromptOf {
  std::size_t index, count;
  Request request;     ///< the command's, with this prompt
  std::string suffix;  ///< "002" in the names of its files; empty where it is the only prompt

  /// "prompt 2 of 5", empty where there is one.
  std::string title() const;
};

/// Calls `one` for each prompt and prints the report. A prompt that fails is reported and the next ones go on; the only one
/// throws.
/// @throws CLI::RuntimeError with the exit code of the first failure or of a stop
void for_each_prompt(const RunOptions& options, ConsoleProgress& progress,
                     const std::function<void(const PromptOf&, Report&)>& one);

}  // namespace ditscope::cli
