#include "core/pipeline/compare.h"

#include "app/cli/capture_options.h"
#include "app/cli/commands.h"
#include "app/cli/each_prompt.h"
#include "app/cli/exit_codes.h"
#include "app/cli/interrupt.h"
#include "app/cli/output.h"
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

ComparePaths paths_of(const CompareOptions& options, const PromptOf& prompt) {
  const std::filesystem::path output = options.output.empty() ? "ditscope-compare" : options.output;
  if (output_kind(output) == OutputKind::Folder) {
    const auto folder = prompt.suffix.empty() ? output : output / prompt.suffix;
    return {folder / "side-by-side.mp4", folder / "", ".mp4"};
  }
  const auto file = prompt.suffix.empty() ? output : with_suffix(output, prompt.suffix);
  return {file, (file.parent_path() / file.stem()).string() + "-", file.extension()};
}

void write_results(const std::vector<ComparedRun>& runs, const CompareOptions& options, const PromptOf& prompt,
                   ConsoleProgress& progress, Report& report) {
  const ComparePaths paths = paths_of(options, prompt);
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
      const std::string suffix = (prompt.suffix.empty() ? "" : prompt.suffix + "-") + std::to_string(i + 1) + "-" + method;
      save_tensors(result, options, suffix);
    }
    report.add(runs[i], prompt.index, output);
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
  note_defaults(options, methods);
  Generator generator;
  ConsoleProgress progress(options.quiet);
  for_each_prompt(options, progress, [&](const PromptOf& prompt, Report& report) {
    const auto begin = [&](std::size_t run) {
      const std::string title = prompt.title();
      progress.set_title((title.empty() ? "" : title + ", ") + methods[run].key);
    };
    const auto capture =
        options.capture.open(prompt.request, methods, paths_of(options, prompt).side_by_side, prompt.suffix, options.quiet);
    progress.set_note(options.capture.progress(capture.get()));
    const auto runs = compare(generator, prompt.request, methods, progress, Interrupt::control(), begin, capture.get());
    progress.set_note({});
    if (capture) report.add_capture(options.capture.close(*capture, runs.back().result.stopped));
    write_results(runs, options, prompt, progress, report);
  });
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
  command->footer(
      std::string("Examples:\n"
                  "  ditscope-cli compare --prompt \"a small blue cube spins\" -o comparison/\n"
                  "  ditscope-cli compare --methods \"full;re-ttention:kept_ratio=0.0625;window\" --json\n"
                  "  ditscope-cli compare --methods \"full;full+teacache:cache_threshold=0.1;re-ttention+fbcache\"\n\n"
                  "--step-cache goes to every method but the first.\n"
                  "PSNR and SSIM are taken on decoded frames before encoding; the JSON names their recipes.\n\n") +
      kExitCodeHelp);
  command->callback([options] { run_compare(*options); });
}

}  // namespace ditscope::cli
