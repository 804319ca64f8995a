#pragma once
#include <filesystem>
#include <string>

#include "core/media/frames.h"

namespace ditscope {

struct VideoOptions {
  std::string parameters_json = {};  ///< goes into the MP4's `comment` tag and the sidecar; empty: neither is written
  bool sidecar = true;          ///< also write `<file>.json`
  int crf = 16;                 ///< x264's constant rate factor, 0..51: 12 is hardly told from the source, 23 is x264's default
  double fps = 0;               ///< 0: Frames::fps
};

/// Writes an MP4: H.264 (libx264), yuv420p, converted with and tagged as BT.709 limited range, index at the front (faststart).
/// 4:2:0 needs even sides: an odd height or width grows by one row or column that repeats the last one.
///
/// Nothing appears under `file` or its sidecar unless the whole file was written; missing folders are made.
/// @throws Error{InvalidArgument} no pixels, or crf or fps out of range; Error{Device} disk full or folder not writable;
///         Error{Unsupported} this FFmpeg has no libx264
void write_video(const Frames& frames, const std::filesystem::path& file, const VideoOptions& options = {});

/// Where the parameters of a saved file lie beside it: "a.mp4" -> "a.mp4.json".
std::filesystem::path sidecar_path(const std::filesystem::path& file);

}  // namespace ditscope
