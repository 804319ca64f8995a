#pragma once
#include <CLI/CLI.hpp>

namespace ditscope::cli {

/// `capture export`: any quantity as JSON or safetensors.
void add_export(CLI::App& capture);
/// `capture compact`: a smaller or a public copy.
void add_compact(CLI::App& capture);
/// `capture diff` and `inspect diff`: one run against another, step by step.
void add_diff(CLI::App& command);

}  // namespace ditscope::cli
