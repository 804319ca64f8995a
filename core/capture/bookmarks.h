#pragma once
#include <cstdint>
#include <filesystem>

#include "core/capture/records.h"

namespace ditscope {

// Bookmarks are read by CaptureReader::bookmarks(). The only writing that happens to a capture after its run; nothing else of the file is touched.
// @throws Error{Unsupported} while a run records into the file; Error{InvalidArgument} for more than
// 1000 bookmarks or texts over 4000 bytes; Error{Device} where the file cannot be written

/// @return its id
std::int64_t add_bookmark(const std::filesystem::path& capture, const CaptureBookmark& bookmark);
void remove_bookmark(const std::filesystem::path& capture, std::int64_t id);

}  // namespace ditscope
