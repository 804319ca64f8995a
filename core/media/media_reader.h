#pragma once
#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>

#include "core/media/frames.h"

namespace ditscope {

/// What a saved file holds.
struct Media {
  Frames frames;
  std::string parameters_json;  ///< as it was saved inside the file; empty: none
};

/// What read_media() refuses to exceed, whatever a header claims.
struct ReadLimits {
  std::int64_t frame_px = std::int64_t{1} << 26;     ///< pixels of one frame
  std::int64_t total_bytes = std::int64_t{4} << 30;  ///< bytes of all decoded frames (12 per pixel)
};

/// Reads an MP4 (H.264; also its remux to Matroska), GIF or PNG back into RGB 0..1. The file is recognised by its first bytes,
/// not by its name, and nothing but this file is opened. 8-bit RGB comes back exactly; video through its tagged colour matrix.
/// @throws Error{NotFound} no such file; Error{Unsupported} another kind of file; Error{Corrupt} damaged or cut short;
///         Error{OutOfMemory} larger than the limits
Media read_media(const std::filesystem::path& file, const ReadLimits& limits = {});

/// The parameters saved with a file, for a drop onto the window: inside an MP4, GIF or PNG, in the sidecar beside it, or the
/// file itself where it is such a sidecar. Nullopt where there is no JSON object to be found; damaged files count as that.
/// @throws Error{NotFound} no such file
std::optional<std::string> probe_parameters(const std::filesystem::path& file);

}  // namespace ditscope
