#include <nlohmann/json.hpp>

#include "app/cli/commands.h"
#include "app/cli/console.h"
#include "app/cli/exit_codes.h"
#include "core/catalog/catalog.h"

namespace ditscope::cli {
namespace {

using Json = nlohmann::json;

void run_schedulers() {
  Json json = Json::array();
  std::string text;
  for (const SchedulerEntry& scheduler : schedulers()) {
    json.push_back(
        {{"key", scheduler.key}, {"name", scheduler.name}, {"stochastic", scheduler.stochastic}, {"summary", scheduler.summary}});
    text += (text.empty() ? "" : "\n") + scheduler.key + "  " + scheduler.name + "\n    " + scheduler.summary;
  }
  print_result(json_wanted() ? Json{{"schedulers", json}}.dump(2) : text);
}

}  // namespace

void add_schedulers(CLI::App& app) {
  CLI::App* command = app.add_subcommand("schedulers", "List the schedulers");
  add_json_flag(*command);
  command->footer(std::string("Example:\n  ditscope-cli schedulers --json\n\n") + kExitCodeHelp);
  command->callback([] { run_schedulers(); });
}

}  // namespace ditscope::cli
