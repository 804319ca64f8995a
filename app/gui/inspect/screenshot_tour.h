#pragma once
#include <filesystem>
#include <string>

namespace ditscope::gui {

class MainWindow;

/// Pictures of the Inspect workspace on a capture: the whole workspace (workspace.png), and each view alone (ID.png, its toolbar
/// included), and how long a view takes to paint. Runs the event loop until all has loaded.
/// @return JSON: capture, renderer, and per view its size and mean and longest paint in ms
/// @throws Error where a file cannot be written, or a view shows nothing at all
std::string take_screenshot_tour(MainWindow& window, const std::filesystem::path& folder);

}  // namespace ditscope::gui
