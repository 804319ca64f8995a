#pragma once
#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "core/media/frames.h"

namespace ditscope {

/// One frame as the bytes of an 8-bit RGB PNG; `parameters_json`, where not empty, goes in as the iTXt chunk "Comment" (UTF-8).
/// @throws Error{InvalidArgument} no such frame
std::vector<std::uint8_t> encode_png(const Frames& frames, int index, const std::string& parameters_json = "");

/// Writes one frame, atomically. @throws Error{InvalidArgument, Device}
void write_png(const Frames& frames, int index, const std::filesystem::path& file, const std::string& parameters_json = "");

/// Writes frame_0000.png, frame_0001.png, ... into `folder`, each with the parameters inside. All frames are written to a
/// hidden folder first, so an error leaves `folder` as it was; other files in it stay.
/// @return how many files were written
/// @throws Error{InvalidArgument, Device}
int write_png_sequence(const Frames& frames, const std::filesystem::path& folder, const std::string& parameters_json = "");

/// A frame made smaller by averaging, for lists: the longer side becomes at most `longest_px`; never enlarged.
Frames thumbnail(const Frames& frames, int index, int longest_px);

}  // namespace ditscope
