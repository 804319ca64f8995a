#pragma once
#include <CLI/CLI.hpp>

namespace ditscope::cli {

/// Each command lives in a file of its own and registers itself with one of these: a subcommand with its options, help and a
/// callback that does the work. A callback throws Error when it fails and CLI::RuntimeError(code) to end with that exit code.
void add_generate(CLI::App& app);
void add_compare(CLI::App& app);
void add_attend(CLI::App& app);
void add_models(CLI::App& app);
void add_methods(CLI::App& app);
void add_schedulers(CLI::App& app);
void add_evaluate(CLI::App& app);
void add_calibrate(CLI::App& app);
void add_train(CLI::App& app);
void add_bench(CLI::App& app);
void add_bench_generate(CLI::App& bench);
void add_capture(CLI::App& app);
void add_inspect(CLI::App& app);
void add_study(CLI::App& app);

}  // namespace ditscope::cli
