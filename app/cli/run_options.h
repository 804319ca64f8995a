#pragma once
#include <CLI/CLI.hpp>
#include <filesystem>
#include <string>
#include <vector>

#include "core/pipeline/request.h"

namespace ditscope::cli {

/// What `generate` and `compare` have in common: the request, and where its results go.
struct RunOptions {
  Request request;
  std::string step_cache;  ///< as typed; empty: none
  bool prompt_given = false;
  std::filesystem::path prompts_file;
  std::filesystem::path output;  ///< empty: a name of the command's own
  std::filesystem::path latents_out, prompt_embeds_out, frames_out;
  bool decode_on_stop = false;
  bool quiet = false;
};

/// Adds all of them, and --json.
void add_run_options(CLI::App& command, RunOptions& options);

/// --step-cache, for a command with options of its own.
void add_step_cache_option(CLI::App& command, std::string& text);
/// A method as typed, with the step cache of --step-cache. @throws Error{NotFound, InvalidArgument}
MethodChoice method_of(const std::string& text, const std::string& step_cache);

/// Call when the command starts: applies what options imply and checks every output before anything is computed.
/// @throws Error{InvalidArgument} for an extension nothing can write, Error{Device} where a folder cannot be written
void prepare(RunOptions& options);

/// Says on stderr where each method's values come from that were left open, unless it is to be quiet.
/// @throws as Generator::inspect()
void note_defaults(const RunOptions& options, const std::vector<MethodChoice>& methods);

/// The prompts to run: --prompt, the lines of --prompts-file (blank lines left out), or the model's example.
/// @throws Error{NotFound, Corrupt} of the file, Error{InvalidArgument} where it holds no prompt
std::vector<std::string> prompts_of(const RunOptions& options);

/// "a/b.mp4" with "002" -> "a/b-002.mp4"; without an extension, "a/b-002".
std::filesystem::path with_suffix(const std::filesystem::path& path, const std::string& suffix);

/// "007": the number of a prompt in file names, counted from 1.
std::string prompt_number(std::size_t index);

}  // namespace ditscope::cli
