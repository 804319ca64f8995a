#include "app/cli/capture_options.h"
#include "app/cli/commands.h"
#include "app/cli/each_prompt.h"
#include "app/cli/exit_codes.h"
#include "app/cli/interrupt.h"
#include "app/cli/output.h"
#include "core/pipeline/generator.h"

namespace ditscope::cli {
namespace {

struct GenerateOptions : RunOptions {
  std::string method = "full";
  CaptureArguments capture;
};

std::filesystem::path output_of(const GenerateOptions& options, std::size_t index, std::size_t prompts) {
  if (options.output.empty()) {
    const std::filesystem::path name =
        "ditscope-" + options.request.method.key + "-seed" + std::to_string(options.request.seed) + ".mp4";
    return prompts == 1 ? name : with_suffix(name, prompt_number(index));
  }
  if (prompts == 1) return options.output;
  if (output_kind(options.output) == OutputKind::Folder) return options.output / (prompt_number(index) + ".mp4");
  return with_suffix(options.output, prompt_number(index));
}

void run_generate(GenerateOptions& options) {
  prepare(options);
  options.capture.check();
  options.request.method = method_of(options.method, options.step_cache);
  note_defaults(options, {options.request.method});
  Generator generator;
  ConsoleProgress progress(options.quiet);
  for_each_prompt(options, progress, [&](const PromptOf& prompt, Report& report) {
    progress.set_title(prompt.title());
    const std::filesystem::path output = output_of(options, prompt.index, prompt.count);
    const auto capture = options.capture.open(prompt.request, {prompt.request.method}, output, prompt.suffix, options.quiet);
    progress.set_note(options.capture.progress(capture.get()));
    ComparedRun run;
    run.result = generator.run(prompt.request, progress, Interrupt::control(), capture.get());
    progress.set_note({});
    if (capture) report.add_capture(options.capture.close(*capture, run.result.stopped));
    save_tensors(run.result, options, prompt.suffix);
    const bool pictures = !run.result.frames.empty();
    if (pictures) {
      progress.on_event(StageProgress{StageProgress::Stage::Encoding, output.filename().string(), 0, 0, ""});
      write_output(run.result, output);
    }
    report.add(run, prompt.index, pictures ? output : "");
  });
}

}  // namespace

void add_generate(CLI::App& app) {
  auto options = std::make_shared<GenerateOptions>();
  CLI::App* command = app.add_subcommand("generate", "Make a video from a prompt");
  add_run_options(*command, *options);
  command->add_option("--method", options->method, "Attention method, NAME[:key=value,...], see `ditscope-cli methods`")
      ->capture_default_str()
      ->type_name("METHOD");
  command->add_option("-o,--output", options->output, "x.mp4, x.gif, x.png (one frame) or a folder for a PNG sequence")
      ->type_name("FILE|DIR");
  options->capture.add_to(*command);
  command->footer(std::string("Examples:\n"
                              "  ditscope-cli generate --prompt \"a large red sphere moves left\" -o sphere.mp4\n"
                              "  ditscope-cli generate --method re-ttention:kept_ratio=0.0625 --seed 7 --json -o out.mp4\n"
                              "  ditscope-cli generate --model CogVideoX-2b --prompts-file prompts.txt -o videos/\n\n") +
                  kExitCodeHelp);
  command->callback([options] { run_generate(*options); });
}

}  // namespace ditscope::cli
