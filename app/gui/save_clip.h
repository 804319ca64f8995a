#pragma once
#include <QString>
#include <filesystem>
#include <memory>

#include "app/gui/session.h"

namespace ditscope::gui {

enum class SaveFormat { Mp4, Gif, PngSequence, Png };
const char* format_name(SaveFormat format);       ///< "MP4, H.264"
const char* format_extension(SaveFormat format);  ///< ".mp4"; empty for a folder of PNGs

/// The settings that go into a saved file: the request, and the methods of every run it shows.
std::string parameters_of(const JobView& job, int run);

/// Writes a run of a job, or all of them side by side.
/// @param run    index, or -1 for side by side
/// @param frame  the one that Png writes
/// @throws Error; nothing is left under the name then
void save_clip(const JobView& job, int run, SaveFormat format, int frame, const std::filesystem::path& file);

/// Asks what and where, then writes on another thread; the session says how it went.
void show_save_menu(Session& session, int frame, QWidget* parent, const QPoint& at);

}  // namespace ditscope::gui
