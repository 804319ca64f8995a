#pragma once
#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "core/capture/capture_options.h"

namespace ditscope {

/// What a smaller or a public copy of a capture leaves out.
struct CaptureCopyOptions {
  IndexSet steps{"all"}, layers{"all"};  ///< calls and arrays of others go; the figures of all steps stay
  std::vector<std::string> without;      ///< kinds of arrays that go: "q" "latents" "frames" ...
  bool redact = false;                   ///< empties what was asked for and what names people, machines and folders
};

struct CaptureCopyReport {
  std::int64_t bytes_before = 0, bytes = 0;
  std::vector<std::string> dropped;  ///< sentences: what is not in the copy
};

/// Writes a copy of `from` to `to`, which is replaced when the copy is whole. Of a capture that is being recorded, the steps that are
/// complete by now.
/// Redacting empties prompts and words, drops the text embedding (it can be turned back into words), titles and notes of bookmarks,
/// and every path, user and host. Pictures and latents stay unless they are among `without`: they show what was asked for.
/// @throws Error as CaptureReader; Error{InvalidArgument} where both are one file; Error{Device} where the copy cannot be written
CaptureCopyReport copy_capture(const std::filesystem::path& from, const std::filesystem::path& to, const CaptureCopyOptions& options);

/// Text without absolute paths: each becomes "(path)".
std::string without_paths(const std::string& text);
/// JSON text whose prompts, paths, users and hosts are empty; other text as without_paths() has it.
std::string redacted_json(const std::string& text);

}  // namespace ditscope
