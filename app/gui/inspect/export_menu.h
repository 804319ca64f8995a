#pragma once
#include <QPoint>
#include <filesystem>

namespace ditscope::gui {

class ViewWidget;
class InspectSession;

/// Picture or numbers of a view, by the ending: PNG, SVG, PDF; CSV, NPY, NPZ, safetensors. The picture has the view's size on screen, a
/// PNG twice its pixels. @throws Error
void export_from(InspectSession& session, const ViewWidget& view, const std::filesystem::path& file);
/// Asks for a kind and a name, writes, and says where it went.
void show_export_menu(InspectSession& session, ViewWidget& view, const QPoint& at);

}  // namespace ditscope::gui
