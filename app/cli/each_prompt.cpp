#include "app/cli/each_prompt.h"

#include "app/cli/exit_codes.h"
#include "kernels/error.h"

namespace ditscope::cli {

std::string PromptOf::title() const {
  return count == 1 ? "" : "prompt " + std::to_string(index + 1) + " of " + std::to_string(count);
}

void for_each_prompt(const RunOptions& options, ConsoleProgress& progress,
                     const std::function<void(const PromptOf&, Report&)>& one) {
  const std::vector<std::string> prompts = prompts_of(options);
  Report report;
  for (std::size_t i = 0; i < prompts.size() && !report.stopped(); ++i) {
    try {
      PromptOf prompt{i, prompts.size(), options.request, prompts.size() == 1 ? "" : prompt_number(i)};
      prompt.request.prompt = prompts[i];
      one(prompt, report);
    } catch (const Error& error) {
      if (prompts.size() == 1) throw;
      report.add_error(i, prompts[i], error.kind(), error.what());
      if (error.kind() == ErrorKind::Cancelled) break;
    }
  }
  progress.clear();
  report.print();
  if (report.exit_code() != kOk) throw CLI::RuntimeError(report.exit_code());
}

}  // namespace ditscope::cli
