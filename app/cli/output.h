#pragma once
#include <filesystem>
#include <string>
#include <vector>

#include "app/cli/run_options.h"
#include "core/pipeline/compare.h"

namespace ditscope::cli {

/// What an output path asks for, by its ending.
enum class OutputKind { Mp4, Gif, Png, Folder };

/// @throws Error{InvalidArgument} for an ending that nothing here writes
OutputKind output_kind(const std::filesystem::path& path);

/// Checks before a run that its output can be written at its end.
/// @throws Error{Device} where the folder (or the nearest one above it) cannot be written
void require_writable(const std::filesystem::path& path);

/// Writes the frames of a run with its request inside, so that the file can be dropped onto the window: MP4, GIF, one frame as
/// PNG (the middle one), or a folder of PNGs.
/// @throws Error{Device}
void write_output(const RunResult& result, const std::filesystem::path& path);

/// The safetensors files that the options ask for; `suffix` keeps those of several runs apart.
void save_tensors(const RunResult& result, const RunOptions& options, const std::string& suffix);

/// The runs that have frames, side by side under their names and figures.
void write_side_by_side(const std::vector<const ComparedRun*>& runs, const std::filesystem::path& path);

}  // namespace ditscope::cli
