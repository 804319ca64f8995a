#pragma once
#include <filesystem>
#include <string>

#include "core/media/frames.h"

namespace ditscope {

struct GifOptions {
  std::string parameters_json = {};  ///< goes into the comment block; empty: none
  double fps = 0;               ///< 0: Frames::fps. GIF counts hundredths of a second, so 8 fps becomes 12, 13, 12, 13
};

/// Writes an endlessly looping GIF with a palette made from all frames and Floyd-Steinberg dithering where the picture
/// changes. Nothing appears under `file` unless the whole file was written; missing folders are made.
/// @throws Error{InvalidArgument} no pixels, fps outside 0..50; Error{Device} disk full or folder not writable
void write_gif(const Frames& frames, const std::filesystem::path& file, const GifOptions& options = {});

}  // namespace ditscope
