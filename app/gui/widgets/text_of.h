#pragma once
#include <QString>
#include <string>

namespace ditscope::gui {

inline QString text_of(const std::string& text) { return QString::fromStdString(text); }

}  // namespace ditscope::gui
