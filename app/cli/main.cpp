// ditscope-cli: everything the window does, without a window. One file a command; see commands.h and docs/cli.md.
#include <spdlog/sinks/stdout_color_sinks.h>
#include <spdlog/spdlog.h>

#include <CLI/CLI.hpp>
#include <new>

#include "app/cli/commands.h"
#include "app/cli/console.h"
#include "app/cli/exit_codes.h"
#include "app/cli/interrupt.h"

namespace {

using namespace ditscope;
using namespace ditscope::cli;

void set_up_logging() {
  auto logger = spdlog::stderr_color_mt("ditscope");
  logger->set_pattern("%^%l%$: %v");
  spdlog::set_default_logger(std::move(logger));
}

int run(int argc, char** argv) {
  CLI::App app{"DiTScope: generates videos with diffusion transformers and shows what their attention costs.", "ditscope-cli"};
  app.set_version_flag("--version", std::string("ditscope-cli ") + DITSCOPE_VERSION);
  app.require_subcommand(1);
  app.footer(std::string("Each command has --help with examples.\n\n") + kExitCodeHelp);
  add_generate(app);
  add_compare(app);
  add_attend(app);
  add_models(app);
  add_methods(app);
  add_schedulers(app);
  add_evaluate(app);
  add_calibrate(app);
  add_train(app);
  add_bench(app);
  add_capture(app);
  add_inspect(app);
  add_study(app);

  // Known before the arguments are parsed, so that a wrong argument is reported in the form asked for.
  for (int i = 1; i < argc; ++i) json_wanted() |= std::string_view(argv[i]) == "--json";
  try {
    app.parse(argc, argv);
    return kOk;
  } catch (const CLI::Success& help_or_version) {
    return app.exit(help_or_version);
  } catch (const CLI::RuntimeError& done) {
    return done.get_exit_code();
  } catch (const CLI::ParseError& error) {
    report_error(ErrorKind::InvalidArgument, std::string(error.what()) + " Run with --help for the options.");
    return kUsage;
  }
}

}  // namespace

int main(int argc, char** argv) {
  set_up_logging();
  Interrupt::install();
  try {
    return run(argc, argv);
  } catch (const Error& error) {
    report_error(error.kind(), error.what());
    return exit_code(error.kind());
  } catch (const std::bad_alloc&) {
    report_error(ErrorKind::OutOfMemory, "Out of memory. Try a smaller size, fewer frames or --dtype bfloat16.");
    return kOutOfMemory;
  } catch (const std::exception& error) {
    report_error("internal", error.what());
    return kInternal;
  }
}
