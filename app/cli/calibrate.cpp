#include <map>
#include <nlohmann/json.hpp>

#include "app/cli/commands.h"
#include "app/cli/console.h"
#include "app/cli/exit_codes.h"
#include "app/cli/interrupt.h"
#include "app/cli/output.h"
#include "app/cli/ranges.h"
#include "app/cli/run_options.h"
#include "core/pipeline/calibrate.h"
#include "core/pipeline/generator.h"

namespace ditscope::cli {
namespace {

struct CalibrateOptions {
  CalibrationTask task;
  std::string method, delta = "D2", loss = "paper";
  std::filesystem::path prompts_file, out;
  std::vector<std::string> prompts;
  bool quiet = false;
};

/// "D1" .. "D6" are .025, .05 .. .15; else a number.
double delta_of(const std::string& text) {
  if (text.size() == 2 && text[0] == 'D' && text[1] >= '1' && text[1] <= '6') return 0.025 * (text[1] - '0');
  try {
    std::size_t read = 0;
    const double value = std::stod(text, &read);
    if (read == text.size() && value > 0 && value <= 10) return value;
  } catch (const std::exception&) {
  }
  throw Error(ErrorKind::InvalidArgument, "expected D1 to D6 or a number from 0 to 10 for --delta, got \"" + text + "\"; change it");
}

/// Each table in a line: how often each value stands in it, the most frequent first, at most six.
std::string summary(const Calibration& calibration) {
  std::string text;
  for (const auto& [name, table] : calibration.tables) {
    std::map<double, int> counts;
    for (const double value : table.values) ++counts[value];
    std::multimap<int, double, std::greater<>> by_count;
    for (const auto& [value, count] : counts) by_count.emplace(count, value);
    text += "\n  " + name + ":";
    int shown = 0;
    for (const auto& [count, value] : by_count) {
      if (++shown > 6) break;
      text += " " + nlohmann::json(value).dump() + " x" + std::to_string(count);
    }
  }
  return text;
}

void run_calibrate(CalibrateOptions& options) {
  CalibrationTask& task = options.task;
  task.request.method = parse_method_choice(options.method);
  task.delta = delta_of(options.delta);
  task.code_loss = options.loss == "code";
  require_writable(options.out);
  RunOptions prompts;
  prompts.request.model = task.request.model;
  prompts.prompts_file = options.prompts_file;
  task.prompts = options.prompts.empty() ? prompts_of(prompts) : options.prompts;
  Generator generator;
  ConsoleProgress progress(options.quiet);
  const Calibration calibration = generator.calibrate(task, progress, Interrupt::control());
  progress.clear();
  calibration.write(options.out);
  const nlohmann::json json = {{"file", options.out.string()}, {"method", calibration.method}, {"hash", calibration.key.hash()}};
  print_result(json_wanted() ? json.dump(2) : "Wrote " + options.out.string() + " for " + calibration.method + summary(calibration));
}

}  // namespace

void add_calibrate(CLI::App& app) {
  auto options = std::make_shared<CalibrateOptions>();
  CalibrationTask& task = options->task;
  CLI::App* command = app.add_subcommand("calibrate", "Search what a method needs to know of a model and size");
  command->add_option("method", options->method, "ditfastattn, sta or spargeattn, with parameters as in --method elsewhere")->required();
  command->add_option("--out", options->out, "The file to write (JSON)")->required()->type_name("FILE");
  command->add_option("--model", task.request.model, "A diffusers folder (default: the bundled model)")->type_name("DIR");
  command->add_option("--prompt", options->prompts, "A prompt to search with; may be given more than once")->type_name("TEXT");
  command->add_option("--prompts-file", options->prompts_file, "One prompt a line")->type_name("FILE")->excludes("--prompt");
  command->add_option("--steps", task.request.steps, "Denoising steps of the runs to serve")->check(above_zero())->type_name("N");
  command->add_option("--guidance", task.request.guidance_scale, "Guidance scale")->check(from_zero())->type_name("X");
  command->add_option("--scheduler", task.request.scheduler, "Scheduler")->type_name("NAME");
  command->add_option("--seed", task.request.seed, "Seed of the first prompt; the next take the numbers after it")->capture_default_str();
  command->add_option("--frames", task.request.frames, "Frames")->check(above_zero())->type_name("N");
  command->add_option("--width", task.request.width, "Width in pixels")->check(above_zero())->type_name("PX");
  command->add_option("--height", task.request.height, "Height in pixels")->check(above_zero())->type_name("PX");
  command->add_option("--threads", task.request.threads, "CPU threads (default: all cores)")->check(thread_count());
  command->add_option("--delta", options->delta, "ditfastattn: loss that a step may have, D1 to D6 (.025 to .15) or a number")
      ->capture_default_str();
  command->add_option("--loss", options->loss, "ditfastattn: max(|a|,|b|) as in the paper, or max(a,b) as in its code")
      ->check(CLI::IsMember({"paper", "code"}))
      ->capture_default_str();
  command->add_option("--kept", task.kept_ratio, "sta: the most that a window may keep")->check(CLI::Range(0.0, 1.0))->capture_default_str();
  command->add_option("--l1", task.l1, "spargeattn: relative L1 error that the blocks of a head may make")->check(above_zero())->capture_default_str();
  command->add_option("--pv-l1", task.pv_l1, "spargeattn: the same with skipped products")->check(above_zero())->capture_default_str();
  command->add_flag("--paper-grid", task.paper_grid, "spargeattn: thresholds as finely as in the paper; about three times as long");
  command->add_option("--sampled-steps", task.sampled_steps, "spargeattn: steps of each prompt to tune on")
      ->check(CLI::Range(1, 1000))
      ->capture_default_str();
  command->add_flag("--quiet", options->quiet, "No progress");
  add_json_flag(*command);
  command->footer(std::string("A calibration serves runs of the same model, size, text length and number of steps; others refuse it.\n"
                              "Examples:\n"
                              "  ditscope-cli calibrate ditfastattn --delta D4 --out plan.json\n"
                              "  ditscope-cli generate --method ditfastattn:plan=plan.json\n"
                              "  ditscope-cli calibrate sta --prompts-file prompts.txt --out windows.json\n\n") +
                  kExitCodeHelp);
  command->callback([options] { run_calibrate(*options); });
}

}  // namespace ditscope::cli
