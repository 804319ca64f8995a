#include "app/gui/inspect/recorded_run.h"

#include <QCoreApplication>
#include <cstdlib>
#include <vector>

#include "kernels/error.h"

namespace ditscope::gui {

std::filesystem::path recorded_run() {
  std::vector<std::filesystem::path> folders;
  if (const char* wanted = std::getenv("DITSCOPE_CAPTURES")) folders.emplace_back(wanted);
  folders.push_back(std::filesystem::path(QCoreApplication::applicationDirPath().toStdString()) / ".." / "share" / "ditscope" / "captures");
  folders.push_back(std::filesystem::path(DITSCOPE_SOURCE_DIR) / "resources" / "captures");
  std::string places;
  for (const std::filesystem::path& folder : folders) {
    std::error_code ignored;
    if (std::filesystem::exists(folder / "tour.ditcap", ignored)) return folder / "tour.ditcap";
    places += (places.empty() ? "" : ", ") + folder.lexically_normal().string();
  }
  throw Error(ErrorKind::NotFound, "There is no tour.ditcap in " + places + ". Install it again, or set DITSCOPE_CAPTURES to its folder.");
}

}  // namespace ditscope::gui
