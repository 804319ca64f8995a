#pragma once
#include <CLI/CLI.hpp>

namespace ditscope::cli {

/// `capture export`: any quantity as JSON or safetensors.
void add_export(CLI::App& capture);

}  // namespace ditscope::cli
