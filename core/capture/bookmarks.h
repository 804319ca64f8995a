#pragma once
#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

namespace ditscope {

/// A place in a capture worth a return. Zero-based but for run_id.
struct CaptureBookmark {
  std::int64_t id = 0;  ///< given when it is added
  std::string title, note, colour;
  int run_id = 1, step = 0, layer = 0, head = 0, branch = 0;
  std::string view = "{}";  ///< JSON: {"id": "map", "locked": [412], "controls": {...}}
};

/// Oldest first. @throws as CaptureReader
std::vector<CaptureBookmark> read_bookmarks(const std::filesystem::path& capture);

// The only writing that happens to a capture after its run; nothing else of the file is touched.
// @throws Error{Unsupported} while a run records into the file, or where recording was cut off; Error{InvalidArgument} for more than
// 1000 bookmarks or texts over 4000 bytes; Error{Device} where the file cannot be written

/// @return its id
std::int64_t add_bookmark(const std::filesystem::path& capture, const CaptureBookmark& bookmark);
void remove_bookmark(const std::filesystem::path& capture, std::int64_t id);

}  // namespace ditscope
