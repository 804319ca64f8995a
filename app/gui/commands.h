#pragma once
#include <QKeySequence>
#include <QString>
#include <functional>
#include <vector>

class QWidget;

namespace ditscope::gui {

/// Something the window can do. Menus, palette, key sheet and shortcuts are made from one list of these.
struct Command {
  QString menu;  ///< "File"; empty: in no menu
  QString name;  ///< "Generate"
  QKeySequence keys;
  std::function<void()> run;
  bool view_key = false;  ///< acts on the compare view, never while text is edited
  QString keys_text;      ///< where it is no key sequence: "hold Shift"
  bool in_palette = true;
};

/// Ctrl+Shift+P: type a part of a name, Enter does it.
void show_palette(const std::vector<Command>& commands, QWidget* parent);
/// ?: every key.
void show_key_sheet(const std::vector<Command>& commands, QWidget* parent);

}  // namespace ditscope::gui
