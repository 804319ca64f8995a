#pragma once
#include <cstdint>
#include <vector>

#include "core/media/frames.h"

namespace ditscope {

/// One frame as the bytes of a JPEG: for pictures inside reports, where PNG is too large.
/// @param quantiser  2 (best) to 31
/// @throws Error{InvalidArgument} no such frame; Error{Unsupported} FFmpeg has no MJPEG encoder
std::vector<std::uint8_t> encode_jpeg(const Frames& frames, int index, int quantiser = 4);

}  // namespace ditscope
