#include "core/pipeline/compare.h"

#include "app/cli/capture_options.h"
#include "app/cli/commands.h"
#include "app/cli/console.h"
#include "app/cli/exit_codes.h"
#include "app/cli/interrupt.h"
#include "app/cli/output.h"
#include "app/cli/report.h"
#include "app/cli/run_options.h"
#include "core/catalog/step_caches.h"

namespace ditscope::cli {
namespace {

struct CompareOptions : RunOptions {
  std::string methods = "full;re-ttention";
  CaptureArguments capture;
};

/// The files of one prompt: a video for each run, and all of them side by side.
struct ComparePaths {
  std::filesystem::path side_by_side, run_stem, extension;

  std::filesystem::path run(std::size_t index, const std::string& method) const {
    return run_stem.string() + std::to_string(index + 1) + "-" + method + extension.string();
  }
};

ComparePaths paths_of(const CompareOptions& options, std::size_t prompt, std::size_t prompts) {
  const std::filesystem::path output = options.output.empty() ? "ditscope-compare" : options.output;
  if (output_kind(output) == OutputKind::Folder) {
    const auto folder = prompts == 1 ? output : output / prompt_number(prompt);
    return {folder / "side-by-side.mp4", folder / "", ".mp4"};
  }
  const auto file = prompts == 1 ? output : with_suffix(output, prompt_number(prompt));
  return {file, (file.parent_path() / file.stem()).string() + "-", file.extension()};
}

void write_results(const std::vector<ComparedRun>& runs, const CompareOptions& options, std::size_t prompt, std::size_t prompts,
                   ConsoleProgress& progress, Report& report) {
  const ComparePaths paths = paths_of(options, prompt, prompts);
  progress.set_title("");
  std::vector<const ComparedRun*> pictures;
  for (std::size_t i = 0; i < runs.size(); ++i) {
    const RunResult& result = runs[i].result;
    const std::string& method = result.request.method.key;
    std::filesystem::path output;
    if (!result.frames.empty()) {
      output = paths.run(i, method);
      progress.on_event(StageProgress{StageProgress::Stage::Encoding, output.filename().string(), 0, 0, ""});
      write_output(result, output);
      pictures.push_back(&runs[i]);
    }
    if (!runs[i].error) {
      const std::string suffix = (prompts == 1 ? "" : prompt_number(prompt) + "-") + std::to_string(i + 1) + "-" + method;
      save_tensors(result, options, suffix);
    }
    report.add(runs[i], prompt, output);
  }
  if (pictures.size() < 2) return;
  write_side_by_side(pictures, paths.side_by_side);
  report.add_side_by_side(paths.side_by_side);
}

void run_compare(CompareOptions& options) {
  prepare(options);
  options.capture.check();
  std::vector<MethodChoice> methods = parse_method_list(options.methods);
  if (!options.step_cache.empty()) {  // the reference stays as it is
    for (std::size_t i = 1; i < methods.size(); ++i) methods[i] = with_step_cache(methods[i], options.step_cache);
  }
  const std::vector<std::string> prompts = prompts_of(options);
  Generator generator;
  ConsoleProgress progress(options.quiet);
  Report report;
  for (std::size_t i = 0; i < prompts.size() && !report.stopped(); ++i) {
    try {
      Request request = options.request;
      request.prompt = prompts[i];
      const auto begin = [&](std::size_t run) {
        const std::string prompt = prompts.size() == 1 ? "" : "prompt " + std::to_string(i + 1) + ", ";
        progress.set_title(prompt + methods[run].key);
      };
      const std::string suffix = prompts.size() == 1 ? "" : prompt_number(i);
      const auto capture = options.capture.open(request, methods, paths_of(options, i, prompts.size()).side_by_side, suffix, options.quiet);
      const auto runs = compare(generator, request, methods, progress, Interrupt::control(), begin, capture.get());
      if (capture) report.add_capture(options.capture.close(*capture, runs.back().result.stopped, options.quiet));
      write_results(runs, options, i, prompts.size(), progress, report);
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

}  // namespace

void add_compare(CLI::App& app) {
  auto options = std::make_shared<CompareOptions>();
  CLI::App* command =
      app.add_subcommand("compare", "Make the same video with several methods and measure them against the first");
  add_run_options(*command, *options);
  command->add_option("--methods", options->methods, "Methods separated by `;`, the reference first; see `ditscope-cli methods`")
      ->capture_default_str()
      ->type_name("LIST");
  command
      ->add_option("-o,--output", options->output,
                   "A folder (default ditscope-compare), or a file for the side-by-side video with the runs beside it")
      ->type_name("FILE|DIR");
  options->capture.add_to(*command);
  command->footer(std::string("Examples:\n"
                              "  ditscope-cli compare --prompt \"a small blue cube spins\" -o comparison/\n"
                              "  ditscope-cli compare --methods \"full;re-ttention:kept_ratio=0.0625;window\" --json\n"
                              "  ditscope-cli compare --methods \"full;full+teacache:cache_threshold=0.1;re-ttention+fbcache\"\n\n"
                              "--step-cache goes to every method but the first.\n"
                              "PSNR and SSIM are taken on decoded frames before encoding; the JSON names their recipes.\n\n") +
                  kExitCodeHelp);
  command->callback([options] { run_compare(*options); });
}

}  // namespace ditscope::cli
